"""A stream of bytes as numbered rows: gzip, byte-order mark, line ends, encoding, delimiter, quotes, header.

One malformed line costs that line, never the file: it comes out as a `Skipped` with its reason, and reading goes on. At
most one line and its few continuations are in memory.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import itertools
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

from metering.errors import MeteringError
from metering.sources.faults import Skipped, Truncated, unreadable
from metering.sources.options import SourceOptions

LINE_BYTES_MAX = 1 << 20
CONTINUED_LINES_MAX = 8
"""Lines that one quoted field may span; a stray quote must not swallow the rows after it."""

DELIMITERS = ("\x1f", "|", "\t", ",")
SAMPLED_LINES = 50
"""Lines of a file without header that show its delimiter; one malformed line among them does not matter."""

Line = tuple[int, str]
Row = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class Table:
    """A file's column names and its rows, each with the number of its (first) line, counted from 1, header included."""

    file: str
    columns: tuple[str, ...]
    rows: Iterator[Row | Skipped]

    def at(self, column: str) -> int:
        """Where a column stands.

        Raises:
            MeteringError: the header holds it more than once.

        """
        if self.columns.count(column) > 1:
            raise unreadable(self.file, f"列 {column} 出现多次", f"the column {column} appears more than once")
        return self.columns.index(column)


def base_name(name: str) -> str:
    """Give the name that identifies a file's rows: no folders, no `.gz`, so that packing a file changes no identity."""
    return PurePath(name).name.removesuffix(".gz")


def chunks_of(name: str, stream: BinaryIO) -> Iterator[bytes]:
    """Read the lines of a file, unpacked where its name ends in `.gz`; one over `LINE_BYTES_MAX` comes in pieces.

    Raises:
        MeteringError: the packed file is damaged.
        Truncated: the packed file ends early.

    """
    readline = gzip.GzipFile(fileobj=stream).readline if name.endswith(".gz") else stream.readline
    try:
        while chunk := readline(LINE_BYTES_MAX):
            yield chunk
    except EOFError:
        raise Truncated from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise damaged(base_name(name)) from error


def damaged(file: str) -> MeteringError:
    """Refuse a packed file of which nothing can be believed."""
    return unreadable(
        file, "压缩文件已损坏或不完整，请重新传输", "the packed file is damaged or ends early: transfer it again"
    )


def text_lines(file: str, chunks: Iterator[bytes]) -> Iterator[Line | Skipped]:
    """Numbered lines without their ends; empty lines are passed over, overlong ones and those not in UTF-8 skipped.

    Where a packed file ends early, its last line is skipped as `truncated`.
    """
    for number in itertools.count(1):
        try:
            data = next(chunks, b"")
        except Truncated:
            yield Skipped("truncated", file, number)
            return
        if not data:
            return
        if len(data) >= LINE_BYTES_MAX and not data.endswith(b"\n"):
            with contextlib.suppress(Truncated):
                while data and not data.endswith(b"\n"):
                    data = next(chunks, b"")
            yield Skipped("line-too-long", file, number)
            continue
        if number == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        try:
            text = data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            yield Skipped("bad-encoding", file, number)
            continue
        if text and not text.isspace():
            yield number, text


def open_table(file: str, lines: Iterator[Line | Skipped], options: SourceOptions) -> Table:
    """Open the table in a file's lines, under the header of its first line or the names that `options.format` gives.

    Raises:
        MeteringError: no first line that could be a header.

    """
    first = ""
    if options.format is None:
        line = next(lines, None)
        if not isinstance(line, tuple):
            raise unreadable(
                file,
                "首行应为 UTF-8 表头；无表头的文件用 --format 给出列名，gzip 文件名应以 .gz 结尾",
                "its first line must be a UTF-8 header; name the columns of a file without header with --format, "
                "and let the name of a gzip file end in .gz",
            )
        first = line[1]
        delimiter = options.delimiter or max(DELIMITERS, key=first.count)
    else:
        sample = list(itertools.islice(lines, SAMPLED_LINES))
        lines = itertools.chain(sample, lines)
        delimiter = options.delimiter or _delimiter_of(sample, len(options.format))
    slurm = options.source == "sacct"
    quoting = delimiter == "," or not slurm
    columns = options.format or tuple(_header(file, first, delimiter, quoting=quoting))
    if slurm and not columns[-1]:
        columns = columns[:-1]
    return Table(file, columns, RowReader(file, lines, columns, delimiter, quoting=quoting, slurm=slurm).rows())


def _delimiter_of(sample: list[Line | Skipped], width: int) -> str:
    """Find the delimiter that gives most lines that many fields, or one more where each field ends with it."""
    texts = [line[1] for line in sample if isinstance(line, tuple)]
    return max(DELIMITERS, key=lambda delimiter: sum(text.count(delimiter) in {width - 1, width} for text in texts))


def _header(file: str, text: str, delimiter: str, *, quoting: bool) -> list[str]:
    cells = _split_quoted(text, delimiter) if quoting else text.split(delimiter)
    if cells is None:
        raise unreadable(file, "表头的引号不成对", "the quotes of its header do not match")
    return [cell.strip(" ") for cell in cells]


def _split_quoted(text: str, delimiter: str) -> list[str] | None:
    """Split a row as RFC 4180 quotes it; None where a quote is left open or stands where none may."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        return None


class RowReader:
    """Splits lines into the cells of a table's columns.

    Slurm quotes nothing, prints a trailing delimiter with `-p`, and lets a job's name hold the delimiter: with `JobName`
    as the last column the surplus is its own, anywhere else it would shift columns and the line is skipped.
    """

    def __init__(
        self,
        file: str,
        lines: Iterator[Line | Skipped],
        columns: tuple[str, ...],
        delimiter: str,
        *,
        quoting: bool,
        slurm: bool,
    ) -> None:
        self._file = file
        self._lines = lines
        self._put_back: deque[Line | Skipped] = deque()
        self._header = list(columns)
        self._delimiter = delimiter
        self._quoting = quoting
        self._slurm = slurm
        self._name_is_last = slurm and columns[-1].casefold() == "jobname"

    def rows(self) -> Iterator[Row | Skipped]:
        """Every row as its line number and as many cells as there are columns, or why a line is none."""
        width, delimiter, put_back, lines = len(self._header), self._delimiter, self._put_back, self._lines
        while (line := put_back.popleft() if put_back else next(lines, None)) is not None:
            if isinstance(line, Skipped):
                yield line
                continue
            number, text = line
            quoted = self._quoting and '"' in text
            cells = self._quoted_cells(text) if quoted else text.split(delimiter)
            if cells is None:
                yield Skipped("bad-quoting", self._file, number)
            elif len(cells) != width and not self._surplus_is_harmless(cells):
                yield Skipped("field-count", self._file, number, f"{len(cells)} != {width}")
            elif cells == self._header:
                yield Skipped("repeated-header", self._file, number)
            else:
                yield number, cells

    def _surplus_is_harmless(self, cells: list[str]) -> bool:
        surplus = len(cells) - len(self._header)
        return surplus > 0 and (self._name_is_last or (self._slurm and surplus == 1 and not cells[-1]))

    def _quoted_cells(self, text: str) -> list[str] | None:
        """Split a line with quotes; a quoted field may go on over a few lines, if that completes the row exactly."""
        if (cells := _split_quoted(text, self._delimiter)) is not None:
            return cells
        taken: list[Line | Skipped] = []
        while len(taken) < CONTINUED_LINES_MAX:
            line = self._put_back.popleft() if self._put_back else next(self._lines, None)
            if line is None:
                break
            taken.append(line)
            if isinstance(line, Skipped):
                break
            text = f"{text}\n{line[1]}"
            cells = _split_quoted(text, self._delimiter)
            if cells is not None and len(cells) == len(self._header):
                return cells
        self._put_back.extendleft(reversed(taken))
        return None
