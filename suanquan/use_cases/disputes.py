"""Disputes about receipts: what is in dispute stays out of batches until it is resolved, to the unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.errors import Kind
from ledger.sql import Connection
from voucher.errors import VoucherError
from voucher.settlement import store
from voucher.settlement.batch import Batch
from voucher.settlement.fact import Fact
from voucher.settlement.line import Line


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute about one job's receipt: which parts of which entries it keeps back; `resolved` is the number of the fact.

    A part is scheme, entry, voucher, units. `outcome` is `confirmed` (the receipt was right) or `corrected`.
    """

    id: str
    number: int
    centre: str
    holder: str
    receipt: str
    about: Mapping[str, str]
    reason: str
    person: str
    at_us: int
    parts: tuple[tuple[str, int, str, int], ...]
    resolved: int | None = None
    outcome: str = ""
    resolution: str = ""


@dataclass(frozen=True, slots=True)
class Disputes:
    """Every dispute there is, in order."""

    all: Sequence[Dispute]

    def kept_back(self, scheme: str) -> dict[tuple[int, str], int]:
        """Units in open disputes, by entry and voucher."""
        kept: dict[tuple[int, str], int] = {}
        for one in self.all:
            for name, seq, jti, units in one.parts if one.resolved is None else ():
                if name == scheme:
                    kept[seq, jti] = kept.get((seq, jti), 0) + units
        return kept

    def left_out(self, scheme: str, centre: str, batches: Sequence[Batch]) -> list[Line]:
        """What live batches of a centre left out because it was in dispute when they were prepared, whatever became of it."""
        lines = []
        for one in self.all:
            for name, seq, jti, units in one.parts:
                covering = next((batch for batch in batches if batch.upto >= seq), None)
                if name == scheme and one.centre == centre and covering is not None and _open_at(one, covering):
                    lines.append(Line(seq, jti, one.id, units, "released"))
        return lines

    def released(self, scheme: str, centre: str, batches: Sequence[Batch]) -> list[Line]:
        """What was left out and may be settled now: its dispute was resolved, and nobody disputes the job again."""
        again = [one.about for one in self.all if one.resolved is None]
        free = {one.id for one in self.all if one.resolved is not None and one.about not in again}
        return [line for line in self.left_out(scheme, centre, batches) if line.part in free]

    def open_in(self, batch: Batch, lines: Sequence[Line]) -> list[str]:
        """Open disputes about lines of a batch that were made after it was prepared."""
        places = {(line.seq, line.jti) for line in lines}
        return [
            one.id
            for one in self.all
            if one.resolved is None
            and one.number > batch.number
            and any(name == batch.scheme and (seq, jti) in places for name, seq, jti, _ in one.parts)
        ]


def _open_at(one: Dispute, batch: Batch) -> bool:
    """Whether a dispute was open when a batch was prepared."""
    return one.number < batch.number and (one.resolved is None or one.resolved > batch.number)


async def load_disputes(conn: Connection) -> Disputes:
    """Every dispute, folded from its facts."""
    ends = {fact.subject: fact for fact in await store.facts_named(conn, "resolve")}
    return Disputes([_dispute(fact, ends.get(fact.subject)) for fact in await store.facts_named(conn, "dispute")])


async def load_dispute(conn: Connection, dispute: str) -> Dispute:
    """The dispute of this id.

    Raises:
        VoucherError: `dispute-unknown`.

    """
    found = next((one for one in (await load_disputes(conn)).all if one.id == dispute), None)
    if found is None:
        raise VoucherError(
            "dispute-unknown", f"没有争议“{dispute[:60]}”", f"no dispute {dispute[:60]!r}", kind=Kind.NOT_FOUND
        )
    return found


def _dispute(fact: Fact, end: Fact | None) -> Dispute:
    said = fact.content
    return Dispute(
        id=fact.subject,
        number=fact.number,
        centre=said["centre"],
        holder=said["holder"],
        receipt=said["receipt"],
        about=said["about"],
        reason=said["reason"],
        person=fact.person,
        at_us=fact.at_us,
        parts=tuple((name, seq, jti, units) for name, seq, jti, units in said["parts"]),
        resolved=None if end is None else end.number,
        outcome="" if end is None else end.content["outcome"],
        resolution="" if end is None else end.content["reason"],
    )
