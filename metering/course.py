"""How what a record costs comes up over its time, so that it can be cut at any instant and its parts add up.

While prices stay it comes up evenly, as charged time is spread over a record; where a price changes there is a span for each.
Up to an instant so much has come up, rounded to the nearest unit; what lies between two instants is the difference. So the
parts of a record add up to it wherever and however often it is cut, and cutting it once more changes no other part.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Span(NamedTuple):
    """Time in which a record costs evenly: units of CNY that vouchers may pay (`yuan`) or not (`own`), and of PFLOPS.h."""

    from_us: int
    until_us: int
    yuan: int
    own: int
    compute: int


Course = tuple[Span, ...]
"""The spans of a record, one after another without a gap."""


def share(total: int, part: int, whole: int) -> int:
    """So much of a total comes up in a part of the whole: to the nearest unit, a half to the larger side, as `ledger.split`."""
    units, left = divmod(total * part, whole)
    return units + (2 * left > whole or (2 * left == whole and 2 * part >= whole))


def reached(span: Span, at_us: int) -> tuple[int, int, int]:
    """What of a span has come up by an instant: yuan, own and compute."""
    if at_us >= span.until_us:
        return span.yuan, span.own, span.compute
    if at_us <= span.from_us:
        return 0, 0, 0
    part, whole = at_us - span.from_us, span.until_us - span.from_us
    return share(span.yuan, part, whole), share(span.own, part, whole), share(span.compute, part, whole)


def cells(course: Course, edges: Iterable[int]) -> list[Span]:
    """What comes up between edges (ascending): for each pair of neighbours the sum over the spans of a course."""
    found = []
    for from_us, until_us in pairwise(edges):
        sums = [0, 0, 0]
        for span in course:
            pairs = zip(reached(span, until_us), reached(span, from_us), strict=True)
            sums = [had + until - since for had, (until, since) in zip(sums, pairs, strict=True)]
        found.append(Span(from_us, until_us, *sums))
    return found


def growth(before: Course, after: Course, edges: Iterable[int]) -> list[Span] | None:
    """What a course has more than an earlier one of the same record, between edges; None where it has less somewhere."""
    both = zip(cells(after, edges := list(edges)), cells(before, edges), strict=True)
    found = [Span(*new[:2], *(now - had for now, had in zip(new[2:], old[2:], strict=True))) for new, old in both]
    return found if all(min(span[2:]) >= 0 for span in found) else None
