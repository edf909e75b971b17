"""The three forms in which grid accounting travels: APEL text, APEL JSON and CAR XML, each as named texts, a record at a time.

APEL text is a header line, then `Key: value` lines, and `%%` after each record (a record without it was cut off). APEL JSON
has its records under `UsageRecords`. CAR is the Compute Accounting Record of EMI (namespace
`http://eu-emi.eu/namespaces/2012/11/computerecord`); of an element that comes again the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.parsers import expat

from metering.sources.faults import Skipped, Truncated, unreadable
from metering.sources.json_stream import BOM, JsonArray, starts_json
from metering.sources.rows import text_lines
from metering.sources.source import UsageFile

Fields = dict[str, str]

_HEADER = re.compile(r"APEL-[A-Za-z-]+[ -]message: ?v?[0-9]+(?:\.[0-9]+)*")
_ELEMENTS = frozenset(
    {
        *("StartTime", "EndTime", "WallDuration", "Status", "Site", "SubmitHost", "LocalJobId", "GlobalJobId"),
        *("LocalUserId", "GlobalUserName", "Group", "Processors", "Queue", "Host", "MachineName"),
    }
)
_NAME_MAX = 64
_VALUE_MAX = 4096


def apel_records(file: UsageFile) -> Iterator[tuple[int, Fields] | Skipped]:
    """Every record of a file with its (first) line, in JSON its place from 1.

    Raises:
        MeteringError: the file is none of the three forms.

    """
    chunks, is_json = starts_json(file.chunks)
    if is_json:
        yield from _json(file.name, chunks)
        return
    first = next(chunks, b"")
    if first.removeprefix(BOM).lstrip().startswith(b"<"):
        yield from _CarReader(file.name, first, chunks).records()
        return
    if not _HEADER.fullmatch(first.removeprefix(BOM).decode("utf-8", "replace").strip()):
        raise unreadable(
            file.name,
            "首行应为 APEL 消息头，如 APEL-individual-job-message: v0.1（或 JSON、CAR XML）",
            "its first line must be an APEL header such as APEL-individual-job-message: v0.1 (or use JSON or CAR XML)",
        )
    yield from _text(file.name, text_lines(file.name, chunks))


def _text(file: str, lines: Iterator[tuple[int, str] | Skipped]) -> Iterator[tuple[int, Fields] | Skipped]:
    record: Fields = {}
    began, fault = 0, ""
    for line in lines:
        if isinstance(line, Skipped):
            if not began:
                began = line.line + 1
            fault = line.reason
            continue
        number, text = line[0] + 1, line[1].strip()  # the header is line 1
        if text == "%%":
            if began:
                yield Skipped(fault, file, began) if fault else (began, record)
            record, began, fault = {}, 0, ""
        elif not _HEADER.fullmatch(text):
            began = began or number
            name, colon, value = text.partition(":")
            if not colon or not name.strip() or name.strip() in record:
                fault = "bad-line" if not colon else "repeated-key"
            record[name.strip()] = value.strip()
    if began:
        yield Skipped("truncated", file, began)


def _json(file: str, chunks: Iterator[bytes]) -> Iterator[tuple[int, Fields] | Skipped]:
    array = JsonArray(file, chunks, ("UsageRecords",))
    for element in array.elements():
        if isinstance(element, Skipped):
            yield element
        elif isinstance(element[1], dict):
            yield element[0], {name: str(value) for name, value in element[1].items() if value is not None}
        else:
            yield Skipped("not-a-record", file, element[0])
    if not array.found:
        raise unreadable(file, "JSON 中没有 UsageRecords 数组", "its JSON has no array UsageRecords")


class _RefusedError(Exception):
    """The document has a type declaration, which no accounting record needs and which could make it grow without end."""


class _CarReader:
    """Reads `UsageRecord` elements; any other structure is passed over."""

    def __init__(self, file: str, first: bytes, chunks: Iterator[bytes]) -> None:
        self._file = file
        self._first = first
        self._chunks = chunks
        self._record: Fields | None = None
        self._name = ""
        self._text = ""
        self._began = 0
        self._ready: list[tuple[int, Fields] | Skipped] = []
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def records(self) -> Iterator[tuple[int, Fields] | Skipped]:
        """Every record; a `Skipped` where the document breaks off or breaks."""
        chunk, count = self._first, 0
        try:
            while chunk:
                self._parser.Parse(chunk, False)
                count += len(self._ready)
                yield from self._taken()
                chunk = next(self._chunks, b"")
            self._parser.Parse(b"", True)
            yield from self._taken()
        except (expat.ExpatError, Truncated, _RefusedError) as fault:
            yield from self._taken()
            if count == 0 or isinstance(fault, _RefusedError):
                raise unreadable(self._file, "不是完整的 CAR XML", "it is no whole CAR XML document") from None
            ended = isinstance(fault, Truncated) or not chunk
            yield Skipped("truncated" if ended else "broken-xml", self._file, self._parser.CurrentLineNumber)

    def _taken(self) -> list[tuple[int, Fields] | Skipped]:
        ready, self._ready = self._ready, []
        return ready

    def _refuse(self, *_: object) -> None:
        raise _RefusedError

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._name, self._text = name.rpartition(" ")[2][:_NAME_MAX], ""
        if self._name == "UsageRecord":
            self._record, self._began = {}, self._parser.CurrentLineNumber

    def _characters(self, text: str) -> None:
        if len(self._text) <= _VALUE_MAX:
            self._text += text

    def _end(self, name: str) -> None:
        local = name.rpartition(" ")[2]
        if self._record is None:
            return
        if local == "UsageRecord":
            self._ready.append((self._began, self._record))
            self._record = None
        elif local in _ELEMENTS and local == self._name:
            self._record.setdefault(local, self._text.strip())
        self._name = ""
