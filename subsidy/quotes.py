"""Quotes against the source text: every quoted word must stand there, on the line that the rule names."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256

from ledger.errors import Finding, Kind
from subsidy.errors import SubsidyError
from subsidy.operators import Number
from subsidy.policy import AmountKind, Benefit, Clause, Document, Quote

_FIGURE = re.compile(r"(\d+) ?(亿元|万元|元|%)")
_SCALES = {"元": 1, "万元": 10_000, "亿元": 100_000_000}
_IGNORED = str.maketrans("", "", " \t\u3000\u00a0*")


def check_text(document: Document, text: bytes) -> list[Finding]:
    """What does not agree between a document's rules and its source text (UTF-8): the text's hash, and each quote."""
    findings = []
    digest = sha256(text).hexdigest()
    if digest != document.source_sha256:
        zh, en = (
            f"原文哈希为 {digest}，规则记的是 {document.source_sha256}",
            f"the text's sha256 is {digest}, the rules name {document.source_sha256}",
        )
        findings.append(Finding("text-changed", zh, en, where=document.id))
    source = SourceText(text.decode("utf-8", errors="replace"))
    places: dict[Quote, str] = {}
    for place, quote in quotes(document):
        places.setdefault(quote, place)
    for quote, place in places.items():
        for line in quote.lines:
            found = source.lines_of(quote.text)
            if line not in found:
                lines = ", ".join(map(str, found))
                zh = f"原文第 {line} 行没有“{quote.text}”" + (f"，它在第 {lines} 行" if found else "")
                en = f"line {line} of the text does not say {quote.text!r}" + (
                    f"; it stands on line {lines}" if found else ""
                )
                findings.append(Finding("quote-not-found", zh, en, where=place))
    return findings


def document_of(documents: Mapping[str, Document], text: bytes, name: str | None = None) -> Document:
    """The document whose source text this is: the one named, else the one that carries its sha256.

    Raises:
        SubsidyError: `document-unknown`.

    """
    digest = sha256(text).hexdigest()
    for document in documents.values():
        if document.id == name or (name is None and document.source_sha256 == digest):
            return document
    names = ", ".join(documents)
    zh = f"不知这是哪份文件的原文（sha256 {digest}），请用 --document 指明：{names}"
    en = f"cannot tell whose text this is (sha256 {digest}); name the document, one of {names}"
    raise SubsidyError("document-unknown", zh, en, kind=Kind.NOT_FOUND)


class SourceText:
    """A text that breaks lines inside sentences, searched without white space and Markdown asterisks.

    Lines are numbered from 1; a form feed between pages ends a line, as `str.splitlines` has it.
    """

    def __init__(self, text: str) -> None:
        lines = [line.translate(_IGNORED) for line in text.splitlines()]
        self._joined = "".join(lines)
        self._starts = list(itertools.accumulate(map(len, lines), initial=0))

    def lines_of(self, quote: str) -> list[int]:
        """The numbers of the lines on which the quote begins, none if it does not stand in the text."""
        wanted = "".join(quote.split()).translate(_IGNORED)
        found, at = [], self._joined.find(wanted)
        while at >= 0:
            found.append(bisect.bisect_right(self._starts, at))
            at = self._joined.find(wanted, at + 1)
        return found


def quotes(document: Document) -> Iterator[tuple[str, Quote]]:
    """Every quote of a document with the place that cites it."""
    yield f"{document.id} validity", document.validity
    for clause in document.clauses:
        yield from _clause_quotes(clause)


def _clause_quotes(clause: Clause) -> Iterator[tuple[str, Quote]]:
    opening = () if clause.opens_when is None else (clause.opens_when,)
    for requirement in (*opening, *clause.requirements):
        yield f"{clause.id} {requirement.id}", requirement.quote
    if clause.benefit.quote is not None:
        yield f"{clause.id} benefit", clause.benefit.quote


def unquoted(benefit: Benefit) -> list[Number]:
    """The fixed sums and rates of a benefit that its quote does not name."""
    sums, percents = _figures(benefit.quote)
    fixed = [quantity.value({}) for quantity in (benefit.of, benefit.cap) if quantity is not None]
    missing: list[Number] = [number for number in fixed if number is not None and number not in sums]
    missing += [number for number in benefit.range_yuan or () if number not in sums]
    exact = benefit.kind is AmountKind.EXACT
    if (percents and benefit.rate * 100 not in percents) or (exact and benefit.rate not in sums):
        missing.append(benefit.rate)
    return missing


def _figures(quote: Quote | None) -> tuple[set[Number], set[Number]]:
    """The sums in yuan and the percentages that a quote names."""
    found = _FIGURE.findall(quote.text) if quote is not None else []
    return {int(number) * _SCALES[unit] for number, unit in found if unit != "%"}, {
        int(number) for number, unit in found if unit == "%"
    }
