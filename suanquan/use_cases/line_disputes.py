"""Disputes of statement lines: each step is a row and a note of the log; the line is marked until somebody decides."""

from __future__ import annotations

from typing import Any, NamedTuple

import cbor2

from ledger.entry import EntryKind, Event
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.scope import Scope
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering import notice_store as notices
from metering import store as metering_store
from metering.dispute import DECIDED, Act, Step, check_step
from metering.errors import MeteringError
from metering.zones import rfc3339
from suanquan.db.notices import put
from suanquan.errors import ServiceError
from suanquan.notices.model import OFFICE, Notice, of_centre, of_holder
from suanquan.notices.model import Kind as Told
from suanquan.use_cases.settle import last_said
from voucher.store import holder_of_account, load_bindings

REASON_MAX = 2000
NUMBER_DIGITS = 18
_STATES = {"open": "已提出", "answered": "已答复", "upheld": "成立", "refused": "不成立"}


class Person(NamedTuple):
    """Who takes a step, and in which role."""

    name: str
    role: str


class Line(NamedTuple):
    """A line of a statement: the record of a source that an account of a centre was charged for."""

    centre: str
    account: str
    source: str
    record: str


async def bound_accounts(conn: Connection, scope: Scope) -> list[tuple[str, str]]:
    """Centre and account of the accounts that are bound to a holder inside the scope."""
    bound = await load_bindings(conn)
    return sorted((centre, account) for centre, account, holder in bound if scope.holds(centre=centre, holder=holder))


async def open_dispute(journal: Journal, line: Line, person: Person, reason: str, scope: Scope) -> dict[str, Any]:
    """Dispute a line of an account inside the scope.

    Raises:
        ServiceError: `record-unknown`, also for another's line, or `reason-missing`.
        MeteringError: `dispute-open`: this line is disputed already.

    """
    _check(person, reason)

    async def work(tx: Transaction) -> list[Step]:
        conn = tx.connection
        source = await metering_store.source_of(conn, line.source)
        record = None if source is None or source.centre != line.centre else await last_said(tx, source, line.record)
        is_own = scope.everything or line[:2] in await bound_accounts(conn, scope)
        if record is None or record.account != line.account or not is_own:
            raise ServiceError(
                "record-unknown",
                f"账户 {line.account} 在中心 {line.centre} 没有这条用量",
                f"the account {line.account!r} of {line.centre!r} has no such usage",
                kind=Kind.NOT_FOUND,
            )
        for step in await notices.newest_steps(conn, centre=line.centre, account=line.account):
            if (step.source, step.record) == line[2:] and step.state not in DECIDED:
                raise MeteringError(
                    "dispute-open",
                    f"该条用量已有争议 {step.dispute}，尚未裁定",
                    f"this line is disputed already, as {step.dispute}",
                    kind=Kind.CONFLICT,
                )
        number = await notices.next_dispute(conn)
        return [await _write(tx, Step(number, 1, Act.OPEN.value, *line, *person, reason, tx.now_ns // 1000))]

    return dispute_object(await journal.transact(work))


async def take_step(journal: Journal, dispute: int, act: Act, person: Person, reason: str) -> dict[str, Any]:
    """Answer, uphold or refuse.

    Raises:
        ServiceError: `dispute-unknown` or `reason-missing`.
        MeteringError: what `check_step` refuses.

    """
    _check(person, reason)

    async def work(tx: Transaction) -> list[Step]:
        steps = await notices.load_steps(tx.connection, dispute)
        if not steps:
            raise unknown(dispute)
        check_step(steps, act, person.name)
        last = steps[-1]
        line = Line(last.centre, last.account, last.source, last.record)
        step = Step(dispute, last.step + 1, act.value, *line, *person, reason, tx.now_ns // 1000)
        return [*steps, await _write(tx, step)]

    return dispute_object(await journal.transact(work))


def _check(person: Person, reason: str) -> None:
    if not person.name.strip() or not reason.strip() or len(reason) > REASON_MAX:
        raise ServiceError(
            "reason-missing",
            f"须写明经办人与理由（至多 {REASON_MAX} 字）",
            f"name the person and give a reason of at most {REASON_MAX} characters",
        )


def number_of(text: str) -> int:
    """The number of a dispute in an address; 0, which none has, for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS else 0


def unknown(dispute: int) -> ServiceError:
    """The refusal of a number that no dispute has."""
    return ServiceError("dispute-unknown", f"没有争议 {dispute}", f"there is no dispute {dispute}", kind=Kind.NOT_FOUND)


async def _write(tx: Transaction, step: Step) -> Step:
    await notices.write_step(tx.connection, step)
    payload = cbor2.dumps({"type": "dispute", **step._asdict()}, canonical=True)
    digest = tx.keyed(tx.size.to_bytes(8) + payload)
    await tx.append([Event(EntryKind.NOTE, digest[:16], digest, salt=tx.entropy(32), payload=payload)])
    data = {"dispute": step.dispute, "state": step.state, "centre": step.centre, "account": step.account}
    zh, en = f"用量争议 {step.dispute}：{_STATES[step.state]}", f"dispute {step.dispute} on usage: {step.state}"
    holder = await holder_of_account(tx.connection, step.centre, step.account)
    for audience in (of_centre(step.centre), OFFICE, *([of_holder(holder)] if holder else [])):
        await put(tx.connection, Notice(Told.DISPUTE_STEP, audience, str(step.dispute), zh, en, data), step.at_us)
    return step


def dispute_object(steps: list[Step]) -> dict[str, Any]:
    """A dispute with every step of it."""
    last = steps[-1]
    return {
        "dispute": last.dispute,
        "state": last.state,
        "centre": last.centre,
        "account": last.account,
        "source": last.source,
        "record": last.record,
        "steps": [
            {"state": one.state, "who": one.who, "role": one.role, "reason": one.reason, "at": rfc3339(one.at_us)}
            for one in steps
        ],
    }


async def show_dispute(conn: Connection, dispute: int) -> dict[str, Any]:
    """One dispute.

    Raises:
        ServiceError: `dispute-unknown`.

    """
    steps = await notices.load_steps(conn, dispute)
    if not steps:
        raise unknown(dispute)
    return dispute_object(steps)


async def list_disputes(
    conn: Connection, *, centre: str | None, account: str | None, state: str | None, after: int, limit: int
) -> dict[str, Any]:
    """Disputes by number with their newest step; `next` continues."""
    rows = await notices.newest_steps(
        conn, centre=centre, account=account, state=state, after=after, limit=limit
    )  # fmt: skip
    listed = [{**dispute_object([row]), "steps": row.step} for row in rows]
    return {"disputes": listed, "next": rows[-1].dispute if len(rows) == limit else None}


async def marks_of(conn: Connection, centre: str, account: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Number and state of the newest dispute of each line of an account, by source and record."""
    rows = await notices.newest_steps(conn, centre=centre, account=account, limit=100_000)
    return {(row.source, row.record): {"number": row.dispute, "state": row.state} for row in rows}
