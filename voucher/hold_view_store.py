"""SQL of holds as their centre, their holder and the office look at them, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ledger.scope import Scope
from ledger.sql import Connection, execute_all, select_in
from ledger.state import HoldStatus
from voucher.hold_store import BY_HAND

STATES = ("open", "captured", "released", "expired")
"""By number of the ledger's status: a hold is open while a part of it is, and then what its last part became."""


@dataclass(frozen=True, slots=True)
class HoldFilter:
    """Which holds are wanted: of a voucher, of a centre, in a state; None: of any. `after` is the last hold seen.

    With `newest` they come newest first, from just below `below` where that is given.
    """

    hold: str | None = None
    jti: str | None = None
    centre: str | None = None
    state: str | None = None
    after: str = ""
    limit: int = 100
    newest: bool = False
    below: str = ""


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part of a hold with its hold of the ledger (line 0): `status` is the ledger's, times are UTC epoch nanoseconds."""

    hold: str
    seq: int
    jti: str
    centre: str
    reference: str
    proof: str
    asset: int
    account: int
    amount: int
    remaining: int
    expires_ns: int | None
    status: int
    lines: int
    taken_ns: int


_IDS = "SELECT DISTINCT p.hold FROM hold_part p JOIN voucher v ON v.jti = p.jti WHERE p.hold > ?"
_OF = "hold_part o JOIN hold h ON h.seq = o.seq AND h.line = 0 WHERE o.hold = p.hold"
_OPEN = f"EXISTS (SELECT 1 FROM {_OF} AND h.status = 0)"  # noqa: S608 -- own words
_LAST = f"(SELECT h.status FROM {_OF} ORDER BY o.seq DESC LIMIT 1)"  # noqa: S608 -- own words
_PARTS = """
SELECT p.hold, p.seq, p.jti, p.centre, p.reference, p.proof, v.asset, v.account, h.amount, h.remaining, h.expires_ns, h.status,
  (SELECT count(*) FROM hold l WHERE l.seq = p.seq), e.recorded_ns
FROM hold_part p JOIN hold h ON h.seq = p.seq AND h.line = 0 JOIN voucher v ON v.jti = p.jti
JOIN entry e ON e.shard = 0 AND e.seq = p.seq
WHERE p.hold"""
_BY_HAND = "SELECT DISTINCT hold FROM hold_part WHERE proof = ? AND hold"


async def load_holds(conn: Connection, scope: Scope, wanted: HoldFilter) -> dict[str, list[PartRow]]:
    """Holds inside a scope, in order of their ids, which is that of time, or newest first; the parts of each, oldest first."""
    text, values = _IDS, list[Any]([wanted.after])
    for clause, more in _clauses(scope, wanted):
        text += f" AND {clause}"
        values += more
    [rows] = await execute_all(
        conn, [(f"{text} ORDER BY p.hold{' DESC' if wanted.newest else ''} LIMIT ?", (*values, wanted.limit))]
    )
    found: dict[str, list[PartRow]] = {hold: [] for (hold,) in rows}
    for some in await execute_all(conn, select_in(_PARTS, found)):
        for row in sorted(map(tuple, some), key=lambda row: row[1]):
            found[row[0]].append(PartRow(*row))
    return found


def _clauses(scope: Scope, wanted: HoldFilter) -> Iterator[tuple[str, list[Any]]]:
    if not scope.everything:
        yield "(v.holder = ? OR p.centre = ?)", [scope.holder or None, scope.centre or None]  # nothing equals NULL
    for column, value in (("p.hold", wanted.hold), ("p.jti", wanted.jti), ("p.centre", wanted.centre)):
        if value is not None:
            yield f"{column} = ?", [value]
    if wanted.below:
        yield "p.hold < ?", [wanted.below]
    if wanted.state is not None:
        status = STATES.index(wanted.state)
        yield (_OPEN, []) if status == HoldStatus.OPEN else (f"NOT {_OPEN} AND {_LAST} = ?", [status])


async def captured_by_hand(conn: Connection, holds: Iterable[str]) -> set[str]:
    """Those of these holds that a centre has captured on."""
    found = await execute_all(conn, select_in(_BY_HAND, holds, BY_HAND))
    return {hold for rows in found for (hold,) in rows}
