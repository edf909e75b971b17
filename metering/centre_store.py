"""SQL of what is registered of centres, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple

from ledger.sql import Conflict, Connection, execute_all, insert_rows
from metering import tables
from metering.centre import INVENTORY, SUSPENSION, CentreFact

_COLUMNS = ", ".join(column.name for column in tables.centre_fact.columns)
_FACTS = f"SELECT {_COLUMNS} FROM centre_fact"  # noqa: S608 -- own names


async def next_fact(conn: Connection) -> int:
    """Number of the next fact."""
    [[(last,)]] = await execute_all(conn, [("SELECT coalesce(max(number), 0) FROM centre_fact", ())])
    return int(last) + 1


async def write_fact(conn: Connection, fact: CentreFact) -> None:
    """Append a fact."""
    await insert_rows(conn, tables.centre_fact, [astuple(fact)])


async def load_facts(conn: Connection, centre: str, kinds: Sequence[str] = ()) -> list[CentreFact]:
    """Facts of a centre in the order recorded; without `kinds` all but the inventories, which are long."""
    if kinds:
        statements = [(f"{_FACTS} WHERE centre = ? AND kind = ? ORDER BY number", (centre, kind)) for kind in kinds]
    else:
        statements = [(f"{_FACTS} WHERE centre = ? AND kind <> ? ORDER BY number", (centre, INVENTORY))]
    rows = [row for some in await execute_all(conn, statements) for row in some]
    return sorted((CentreFact(*row) for row in rows), key=lambda fact: fact.number)


async def load_suspensions(conn: Connection, centre: str) -> list[CentreFact]:
    """Suspensions and resumptions of a centre."""
    return await load_facts(conn, centre, [SUSPENSION])


async def newest_inventory(conn: Connection, centre: str) -> CentreFact | None:
    """The inventory that was registered last: it speaks for every time."""
    text = f"{_FACTS} WHERE centre = ? AND kind = ? ORDER BY number DESC LIMIT 1"
    [rows] = await execute_all(conn, [(text, (centre, INVENTORY))])
    return CentreFact(*rows[0]) if rows else None


async def inventory_sizes(conn: Connection, centre: str) -> list[tuple[int, int, int, str]]:
    """Number, first instant, instant of recording and evidence of each inventory of a centre."""
    text = (
        "SELECT number, from_us, recorded_us, evidence FROM centre_fact WHERE centre = ? AND kind = ? ORDER BY number"
    )
    [rows] = await execute_all(conn, [(text, (centre, INVENTORY))])
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def put_steps(conn: Connection, centre: str, steps: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    """Replace what a centre has from when on."""
    await execute_all(conn, [("DELETE FROM capacity_step WHERE centre = ?", (centre,))])
    rows = [(centre, model, at_us, count) for model, some in steps.items() for at_us, count in some]
    await insert_rows(conn, tables.capacity_step, rows, Conflict.REPLACE)


async def load_steps(conn: Connection) -> dict[str, dict[str, list[tuple[int, int]]]]:
    """Instants and thousandths of cards by centre and model, in the order of time."""
    text = "SELECT centre, model, from_us, count_milli FROM capacity_step ORDER BY centre, model, from_us"
    [rows] = await execute_all(conn, [(text, ())])
    found: dict[str, dict[str, list[tuple[int, int]]]] = {}
    for centre, model, at_us, count in rows:
        found.setdefault(centre, {}).setdefault(model, []).append((at_us, count))
    return found


def count_at(steps: Sequence[tuple[int, int]], at_us: int) -> int:
    """Thousandths of cards at an instant."""
    return next((count for since, count in reversed(steps) if since <= at_us), 0)
