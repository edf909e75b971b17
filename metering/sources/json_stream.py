"""One long array inside a JSON document, an element at a time: memory is that of the longest element.

`sacct --json`, `kubectl get -o json`, the answers of Prometheus and batches of CloudEvents are such documents. What comes
before and after the array is passed over. A document that breaks off, or breaks, after some elements has given those.
"""

from __future__ import annotations

import codecs
import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

from metering.sources.faults import Skipped, Truncated, unreadable

ELEMENT_CHARACTERS_MAX = 1 << 24
"""Longest element, and longest value before the array: 16 Mi characters."""

WINDOW_CHARACTERS = 1 << 18
"""How much is looked at in one go."""

BOM = codecs.BOM_UTF8
_BLANK = " \t\r\n\ufeff"


def starts_json(chunks: Iterator[bytes]) -> tuple[Iterator[bytes], bool]:
    """Give the chunks back, and whether they begin like a JSON document."""
    first = next(chunks, b"")
    return itertools.chain([first] if first else [], chunks), first.removeprefix(BOM).lstrip()[:1] in {b"{", b"["}


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)


class Broken(Exception):  # noqa: N818 - it ends as a `Skipped` or a refusal and never leaves this module
    """The document stops being JSON here, or ends; `reason` is the reason of a `Skipped`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JsonArray:
    """Elements of the array at `path` (member names from the top) of a document, or of the document itself.

    Bytes that are no UTF-8 are kept apart, as lone surrogates, and matter only in a name that is used. Numbers with a
    decimal point are `Decimal`.
    """

    def __init__(self, file: str, chunks: Iterator[bytes], path: tuple[str, ...] = ()) -> None:
        self._file = file
        self._path = path
        self._chunks = chunks
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        self._at = 0
        self._ended = False
        self.found = False

    def elements(self) -> Iterator[tuple[int, Any] | Skipped]:
        """Every element with its place from 1; a `Skipped` where the document breaks off or breaks.

        Raises:
            MeteringError: it breaks before the first element, so that nothing can be said about it.

        """
        place = 0
        try:
            if not self._enter(self._path):
                return
            self.found = True
            for value in self._values():
                place += 1
                yield place, value
        except Broken as broken:
            if place == 0:
                raise unreadable(self._file, "不是完整的 JSON", "it is not a whole JSON document") from None
            yield Skipped(broken.reason, self._file, place + 1)

    def _enter(self, path: tuple[str, ...]) -> bool:
        """Go to the array; False where a member of the path is missing or is something else."""
        start = self._peek()
        if not path:
            self._at += start == "["
            return start == "["
        if start != "{":
            if start != "[":
                raise Broken("broken-json")
            return False
        self._at += 1
        while (sign := self._peek()) != "}":
            if sign == ",":
                self._at += 1
                continue
            name = self._value()
            if not isinstance(name, str) or self._peek() != ":":
                raise Broken("broken-json")
            self._at += 1
            if name == path[0]:
                return self._enter(path[1:])
            self._value()
        return False

    def _values(self) -> Iterator[Any]:
        while (sign := self._peek()) != "]":
            if sign == ",":
                self._at += 1
                continue
            yield self._value()

    def _peek(self) -> str:
        """Give the next character that is no blank; a document that ends before it is cut off."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _BLANK:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more():
                raise Broken("truncated")

    def _value(self) -> Any:
        """Decode the next value; more is read only when what is here does not hold it whole."""
        self._peek()
        while True:
            if len(self._text) - self._at < WINDOW_CHARACTERS and not self._ended:
                self._more()
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, ArithmeticError) as fault:
                if self._ended:
                    raise Broken("broken-json" if _is_inside(fault, self._text) else "truncated") from None
                if len(self._text) - self._at > ELEMENT_CHARACTERS_MAX:
                    raise Broken("element-too-long") from None
                self._more()
                continue
            except RecursionError:
                raise Broken("broken-json") from None
            if end == len(self._text) and self._more():
                continue  # a number may go on in what comes next
            self._at = end
            return value

    def _more(self) -> bool:
        """Read on, dropping what was used; False at the end of the file."""
        if self._ended:
            return False
        parts = [self._text[self._at :]]
        size, wanted = len(parts[0]), max(WINDOW_CHARACTERS, 2 * len(parts[0]))
        while size < wanted and not self._ended:
            try:
                chunk = next(self._chunks, b"")
            except Truncated:
                raise Broken("truncated") from None
            self._ended = not chunk
            parts.append(self._decoder.decode(chunk, final=self._ended))
            size += len(parts[-1])
        self._text, self._at = "".join(parts), 0
        return size > len(parts[0])


def _is_inside(fault: Exception, text: str) -> bool:
    """Whether a document is wrong where it stands, and not only at its end."""
    return not isinstance(fault, json.JSONDecodeError) or (
        fault.pos < len(text.rstrip()) and not fault.msg.startswith("Unterminated string")
    )
