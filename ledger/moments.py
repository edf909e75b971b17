"""What many accounts had at several moments: places are read together, and of the log only the last entry before each moment."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ledger.entry import NO_SEQ
from ledger.history import NOTHING, Totals, line_of
from ledger.leaf import decode
from ledger.places import Place, unpack_places
from ledger.sql import Connection, chunks, execute_all, select_in

_NOW = (
    "SELECT b.account, a.public_id, b.debits_posted, b.credits_posted, b.debits_held, b.credits_held, b.last_seq, b.recent "
    "FROM balance b JOIN account a ON a.number = b.account WHERE b.account"
)


class _Known(NamedTuple):
    """An account as it stands, with its newest places."""

    public_id: bytes
    now: Totals
    recent: list[Place]


async def totals_at_all(conn: Connection, numbers: Iterable[int], moments: Sequence[int]) -> dict[int, list[Totals]]:
    """By account its totals as recorded up to each moment (UTC epoch nanoseconds, ascending, each included).

    What one account costs is a row of its balance, its places since the first moment, and one leaf for each moment before
    which something changed; of `history.totals_at` it is the same answer for many.
    """
    found: dict[int, list[Totals]] = {}
    for part in chunks(numbers):
        found |= await _part(conn, part, moments)
    return found


async def places_of_all(conn: Connection, numbers: Iterable[int]) -> dict[int, tuple[bytes, list[Place]]]:
    """By account its public id and the places of all its entries, oldest first."""
    found: dict[int, tuple[bytes, list[Place]]] = {}
    for part in chunks(numbers):
        known, older = await _load(conn, part), await _places(conn, part, 2**63 - 1)
        found |= {number: (one.public_id, [*older.get(number, ()), *one.recent]) for number, one in known.items()}
    return found


async def _part(conn: Connection, numbers: Sequence[int], moments: Sequence[int]) -> dict[int, list[Totals]]:
    known = await _load(conn, numbers)
    older = [number for number, one in known.items() if not one.recent or one.recent[0].recorded_ns > moments[0]]
    places = await _places(conn, older, moments[-1])
    wanted: dict[int, list[int]] = {}
    for number, one in known.items():
        every = [*places.get(number, ()), *one.recent]
        times = [place.recorded_ns for place in every]
        at = [bisect_right(times, moment) for moment in moments]
        wanted[number] = [every[upto - 1].seq if upto else NO_SEQ for upto in at]
    seqs = {seq for number, some in wanted.items() for seq in some if seq not in {NO_SEQ, known[number].now.last_seq}}
    then = await _totals(conn, wanted, known, seqs)
    return {
        number: [known[number].now if seq == known[number].now.last_seq else then.get((number, seq), NOTHING) for seq in some]
        for number, some in wanted.items()
    }  # fmt: skip


async def _load(conn: Connection, numbers: Sequence[int]) -> dict[int, _Known]:
    found = {}
    for rows in await execute_all(conn, select_in(_NOW, numbers)):
        for number, public_id, *totals, recent in rows:
            found[int(number)] = _Known(bytes(public_id), Totals(*map(int, totals)), unpack_places(bytes(recent)))
    return found


async def _places(conn: Connection, numbers: Sequence[int], until_ns: int) -> dict[int, list[Place]]:
    text = "SELECT account, first_ns, places FROM touched WHERE first_ns <= ? AND account"
    found: dict[int, list[Place]] = {}
    for rows in await execute_all(conn, select_in(text, numbers, until_ns)):
        for number, _, places in sorted(rows):
            found.setdefault(int(number), []).extend(unpack_places(bytes(places)))
    return found


async def _totals(
    conn: Connection, wanted: dict[int, list[int]], known: dict[int, _Known], seqs: Iterable[int]
) -> dict[tuple[int, int], Totals]:
    """Totals of each account in the entries that are asked for, each leaf read once."""
    of: dict[int, set[int]] = {}
    for number, some in wanted.items():
        for seq in some:
            of.setdefault(seq, set()).add(number)
    found = {}
    for rows in await execute_all(conn, select_in("SELECT seq, leaf FROM entry WHERE shard = 0 AND seq", sorted(seqs))):
        for seq, leaf in rows:
            entry = decode(bytes(leaf))[0]
            for number in of[seq]:
                found[number, int(seq)] = line_of(entry, known[number].public_id).totals
    return found
