"""Taking back what lies idle, as the scheme announces it: looked at once a cycle, told so many days ahead, taken if still idle.

What is used after the notice stays. Units go back to the budget of the year that bore the voucher, and to its caps; notice and
entry stand in the log.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from datetime import date
from hashlib import sha256
from typing import Any, NamedTuple

import cbor2

from ledger.amount import ASSETS_BY_NUMBER, format_units
from ledger.entry import EntryKind, Event, credit, debit
from ledger.journal import Journal
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from ledger.transaction import Transaction
from suanquan.db.notices import put
from suanquan.notices.model import Kind, of_holder
from suanquan.notices.model import Notice as Told
from suanquan.use_cases.caps import give_back
from suanquan.use_cases.issue import budget_name, load
from voucher import hold_store, programme_store
from voucher.days import add_months, day_of
from voucher.programme import Notice, announce, due
from voucher.programme_store import ReclaimRow
from voucher.scheme import Reclaim, Series
from voucher.store import StoredVoucher

PAGE = 500
"""Vouchers that are looked through at once."""
TOGETHER = 100
"""Vouchers of one transaction."""
LOOKED, NOTICE, TAKEN, SPARED = "looked", "notice", "taken", "spared"


class Task(NamedTuple):
    """A voucher that something is due for: a look in this cycle, or the end of a notice of an earlier look."""

    jti: str
    rule: Reclaim
    cycle: int
    notice: ReclaimRow | None


async def reclaim_idle(journal: Journal, conn: Connection, series: Mapping[str, Series], now_us: int) -> dict[str, int]:
    """Announce and take back what is due under every scheme that has a rule; how many notices, how many were taken.

    `conn` reads beside the writer; each voucher is judged again inside its transaction.
    """
    counts: Counter[str] = Counter()
    for one in series.values():
        if any(version.reclaim for version in one.versions):
            tasks = await _tasks(conn, one, now_us)
            for at in range(0, len(tasks), TOGETHER):
                part = tasks[at : at + TOGETHER]
                counts.update(await journal.transact(functools.partial(_work, tasks=part)))
    return dict(counts)


async def _tasks(conn: Connection, series: Series, now_us: int) -> list[Task]:
    found, after = [], ""
    while page := await programme_store.living_vouchers(conn, series.id, now_us, now_us, after, PAGE):
        after = page[-1][0]
        known = await programme_store.reclaims_of(conn, [jti for jti, _ in page])
        for jti, issued_us in page:
            version = series.at(issued_us) or series.latest
            if version.reclaim is not None:
                found += _due_of(jti, version.reclaim, day_of(issued_us), day_of(now_us), known.get(jti, []))
    return found


def _due_of(jti: str, rule: Reclaim, issued: date, today: date, rows: list[ReclaimRow]) -> list[Task]:
    """What is due for a voucher on a day."""
    ended = {row.cycle for row in rows if row.stage in {TAKEN, SPARED}}
    open_ = [row for row in rows if row.stage == NOTICE and row.cycle not in ended]
    tasks = [Task(jti, rule, row.cycle, row) for row in open_ if row.effective_on <= today.isoformat()]
    cycle = cycle_of(rule, issued, today)
    if cycle and not open_ and not any(row.cycle == cycle for row in rows):
        tasks.append(Task(jti, rule, cycle, None))
    return tasks


def cycle_of(rule: Reclaim, issued: date, today: date) -> int:
    """How many whole cycles lie between two days."""
    cycle = ((today.year - issued.year) * 12 + today.month - issued.month) // rule.cycle_months
    return cycle if cycle <= 0 or add_months(issued, cycle * rule.cycle_months) <= today else cycle - 1


async def _work(tx: Transaction, tasks: list[Task]) -> list[str]:
    return [stage for task in tasks if (stage := await _one(tx, task)) is not None]


async def _one(tx: Transaction, task: Task) -> str | None:
    """What became of one task: the stage that was recorded; None where somebody did it meanwhile, or the voucher is frozen."""
    stored = await load(tx.connection, task.jti, EVERYTHING)
    account = (await tx.accounts_by_number([stored.account]))[stored.account]
    rows = (await programme_store.reclaims_of(tx.connection, [task.jti])).get(task.jti, [])
    today = day_of(tx.now_ns // 1000)
    if account.restriction or task not in _due_of(task.jti, task.rule, day_of(stored.issued_us), today, rows):
        return None
    taken = sum(row.units for row in rows if row.stage == TAKEN)
    use = _use(stored, today, taken)
    if task.notice is None:
        notice = announce(task.rule, today, **use)
        return await _look(tx, task, today, notice)
    told = Notice(
        task.notice.units,
        date.fromisoformat(task.notice.day),
        date.fromisoformat(task.notice.effective_on),
        "",
        "",
    )
    units = min(due(told, task.rule, today, **use), account.available)
    return await _take(tx, task, stored, today, units)


def _use(stored: StoredVoucher, today: date, taken: int) -> dict[str, int]:
    """What was given, what an even use over the voucher's life would be by today, and what was used or is held, in units.

    What was returned before (but for earlier reclaims) or split off is not part of it.
    """
    granted = stored.units - (stored.returned - taken) - stored.split
    begin, end = max(stored.from_us, stored.issued_us), stored.until_us
    whole = max((day_of(end) - day_of(begin)).days, 1)
    elapsed = min(max((today - day_of(begin)).days, 0), whole)
    gone = stored.returned + stored.expired + stored.split
    used = stored.debits_posted - gone + stored.debits_held
    return {"granted": granted, "planned": granted * elapsed // whole, "used": used, "reclaimed": taken}


async def _look(tx: Transaction, task: Task, today: date, notice: Notice | None) -> str | None:
    day = today.isoformat()
    if notice is None:
        await programme_store.add_reclaim(tx.connection, ReclaimRow(task.jti, task.cycle, LOOKED, 0, day, day, None))
        return None
    effective = notice.effective_on.isoformat()
    told = {"type": "reclaim-notice", "jti": task.jti, "units": notice.units, "effective_on": effective}
    event = _event(tx, task, EntryKind.NOTE, cbor2.dumps({**told, "zh": notice.zh, "en": notice.en}, canonical=True))
    await tx.append([event])
    await _tell(tx, task, NOTICE, notice.units, effective)
    await programme_store.add_reclaim(
        tx.connection, ReclaimRow(task.jti, task.cycle, NOTICE, notice.units, day, effective, event.event_id)
    )
    return NOTICE


async def _take(tx: Transaction, task: Task, stored: StoredVoucher, today: date, units: int) -> str:
    day, event_id = today.isoformat(), None
    if units > 0:
        asset = ASSETS_BY_NUMBER[stored.asset]
        name = budget_name(stored.scheme, stored.year, asset)
        budget = (await tx.open([(name, asset, 0)]))[name]
        caps = await give_back(tx, (stored.scheme, str(stored.year), stored.holder), units, asset)
        payload = cbor2.dumps({"type": "reclaim", "jti": task.jti, "cycle": task.cycle}, canonical=True)
        event = _event(tx, task, EntryKind.POST, payload)
        event_id = event.event_id
        await tx.append([event._replace(legs=(debit(stored.account, units), credit(budget.number, units), *caps))])
        await hold_store.write_outflow(tx.connection, event_id, task.jti, "returned", units, tx.now_ns // 1000)
        await _tell(tx, task, TAKEN, units, day)
    stage = TAKEN if units > 0 else SPARED
    await programme_store.add_reclaim(
        tx.connection, ReclaimRow(task.jti, task.cycle, stage, max(units, 0), day, day, event_id)
    )
    return stage


async def _tell(tx: Transaction, task: Task, stage: str, units: int, day: str) -> None:
    """Tell the holder what will be taken back and when, or what was."""
    stored = await load(tx.connection, task.jti, EVERYTHING)
    asset = ASSETS_BY_NUMBER[stored.asset]
    amount = f"{format_units(units, asset)} {asset.code}"
    words = f"券 {task.jti} 因闲置已收回 {amount}", f"{amount} of the idle voucher {task.jti} were taken back"
    if stage == NOTICE:
        words = (
            f"券 {task.jti} 闲置：{day} 起收回 {amount}，在此之前使用的不收回",
            f"the voucher {task.jti} lies idle: {amount} are taken back from {day} on, but for what is used before",
        )
    data = {"jti": task.jti, "stage": stage, "amount": format_units(units, asset), "unit": asset.code, "day": day}
    told = Told(Kind.VOUCHER_RECLAIM, of_holder(stored.holder), task.jti, *words, data)
    await put(tx.connection, told, tx.now_ns // 1000)


def _event(tx: Transaction, task: Task, kind: EntryKind, payload: bytes) -> Event:
    identity = sha256(f"reclaim\0{task.jti}\0{task.cycle}\0{kind}".encode()).digest()[:16]
    actor = sha256(b"clock").digest()[:8]
    return Event(kind, identity, tx.keyed(payload), actor=actor, salt=tx.entropy(32), payload=payload)


async def list_reclaims(conn: Connection, scheme: str, limit: int = 1000) -> list[dict[str, Any]]:
    """Notices under a scheme and what became of each, newest first."""
    found = []
    for row in await programme_store.reclaims_of_scheme(conn, scheme, limit):
        asset = ASSETS_BY_NUMBER[(await load(conn, row.jti, EVERYTHING)).asset]
        found.append(
            {
                "jti": row.jti,
                "cycle": row.cycle,
                "stage": row.stage,
                "units": format_units(row.units, asset),
                "unit": asset.code,
                "day": row.day,
                "effective_on": row.effective_on,
                "event_id": row.event_id.hex() if row.event_id else None,
            }
        )
    return found
