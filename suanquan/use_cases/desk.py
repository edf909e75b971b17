"""What officers do about usage: decide what waits, and correct records; each act names who and why, and stands in the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

from ledger.errors import Kind
from ledger.journal import Journal
from ledger.transaction import Transaction
from metering import store as metering_store
from metering.corrections import Correction
from metering.instants import parse_instant
from metering.model import Accelerator, UsageRecord
from metering.wire import EARLIEST_US, SKEW_US, TEXT_MAX
from suanquan.access.policy import same_person
from suanquan.db.notices import put
from suanquan.errors import ServiceError
from suanquan.notices.model import Kind as NoticeKind
from suanquan.notices.model import Notice, of_centre, of_holder
from suanquan.use_cases.corrections import Result, correct, newest_revision, refusal
from suanquan.use_cases.ingest import Rules
from suanquan.use_cases.quarantine import Decision, decide
from suanquan.use_cases.settle import Said, last_said
from suanquan.use_cases.shares import Terms
from voucher.store import holder_of_account

COUNT_MAX = 100_000_000


class Amendment(NamedTuple):
    """A correction by the office: `revision` None takes the next number; `changes` None voids, else replaces members."""

    source: str
    record_id: str
    officer: str
    reason: str
    approved_by: str = ""
    revision: int | None = None
    changes: dict[str, Any] | None = None


def changes_of(
    account: str | None, start: str | None, end: str | None, active_ms: int | None, cards: Sequence[str] | None
) -> dict[str, Any]:
    """Members of a record that a revision replaces, from their texts; cards are MODEL=THOUSANDTHS.

    Raises:
        ServiceError: `revision-malformed`.

    """
    found: dict[str, Any] = {}
    try:
        found |= {"account": account} if account else {}
        found |= {name: parse_instant(text) for name, text in (("start_us", start), ("end_us", end)) if text}
        found |= {"active_ms": active_ms} if active_ms is not None else {}
        if cards:
            parts = [card.rpartition("=") for card in cards]
            found["accelerators"] = tuple(Accelerator(model, _thousandths(count)) for model, _, count in parts if model)
    except (ValueError, OverflowError) as fault:
        raise _malformed(str(fault)) from None
    if not found or len(found.get("accelerators", "1" * len(cards or "1"))) != len(cards or "1"):
        raise _malformed("nothing to change, or a card without its model")
    return found


def _thousandths(text: str) -> int:
    count = int(text)
    if not 0 < count <= COUNT_MAX:
        raise ValueError(f"{text} thousandths of a card")
    return count


def _malformed(why: str) -> ServiceError:
    return ServiceError("revision-malformed", f"更正内容有误：{why}", f"the revision is malformed: {why}")


def _checked(record: UsageRecord, now_us: int) -> UsageRecord:
    """A revised record holds together as a reported one does.

    Raises:
        ServiceError: `revision-malformed`.

    """
    texts = record.account + "".join(part.model for part in record.accelerators)
    span_us = record.end_us - record.start_us
    if not texts.isprintable() or len(record.account) > TEXT_MAX or any(len(p.model) > 64 for p in record.accelerators):
        raise _malformed("text")
    if not EARLIEST_US <= record.start_us <= record.end_us <= now_us + SKEW_US or record.active_ms * 1000 > span_us:
        raise _malformed("times, or more active time than the interval has")
    return replace(record, final=True)


async def decide_waiting(journal: Journal, rules: Rules, decision: Decision) -> dict[str, Any]:
    """Release or drop a record that waits.

    Raises:
        DomainError: see `quarantine.decide`.

    """
    said = _said(rules, decision.officer, f"{decision.place}\0{decision.verdict.value}\0{decision.reason}")
    return await journal.transact(lambda tx: decide(tx, said, decision, lambda centre: _terms(rules, centre)))


async def amend(journal: Journal, rules: Rules, wanted: Amendment) -> Result:
    """Void or revise a record.

    Raises:
        ServiceError: `source-unknown`, `reason-missing`.
        MeteringError: why the correction is not taken (see `corrections.FAULTS`).

    """
    if not wanted.officer.strip() or not wanted.reason.strip():
        raise ServiceError("reason-missing", "请写明经办人与理由", "name the officer and the reason")

    async def work(tx: Transaction) -> Result:
        source = await metering_store.source_of(tx.connection, wanted.source)
        if source is None:
            raise ServiceError(
                "source-unknown",
                f"没有来源“{wanted.source}”",
                f"there is no source {wanted.source!r}",
                kind=Kind.NOT_FOUND,
            )
        revision = wanted.revision or await newest_revision(tx, source, wanted.record_id) + 1
        record, known = None, await last_said(tx, source, wanted.record_id)
        if wanted.changes is not None:
            if known is None:
                raise refusal("record-unknown")
            record = _checked(replace(known, **wanted.changes), tx.now_ns // 1000)
        correction = Correction(
            wanted.record_id, revision, record, wanted.reason.strip(), wanted.officer.strip(), _approval(wanted)
        )  # fmt: skip
        said = _said(rules, wanted.officer, f"{wanted.source}\0{correction}")
        [result] = await correct(tx, said, source, _terms(rules, source.centre), [correction])
        if result.status in {"rejected", "conflict"}:
            raise refusal(result.code)
        if result.status == "accepted":
            await _tell(
                tx, source.centre, wanted.record_id, [one.account for one in (known, record) if one is not None]
            )
        return result

    return await journal.transact(work)


async def _tell(tx: Transaction, centre: str, record: str, accounts: Sequence[str]) -> None:
    """Tell the centre, and those whose accounts it is or was counted for, that the office corrected a record; not whose else it was."""
    holders = {await holder_of_account(tx.connection, centre, account) for account in accounts} - {""}
    words = (
        f"中心 {centre} 的用量记录 {record} 已由主管部门更正",
        f"the office corrected the usage record {record} of {centre}",
    )
    for audience in (of_centre(centre), *map(of_holder, sorted(holders))):
        told = Notice(NoticeKind.USAGE_AMENDED, audience, record, *words, {"centre": centre, "record": record})
        await put(tx.connection, told, tx.now_ns // 1000)


def _approval(wanted: Amendment) -> str:
    """Who agreed; nobody, where it is the officer himself in another spelling."""
    approved_by = wanted.approved_by.strip()
    return "" if same_person(approved_by, wanted.officer) else approved_by


def _said(rules: Rules, officer: str, text: str) -> Said:
    digest = sha256(f"{officer}\0{text}".encode()).digest()
    return Said(digest, sha256(officer.encode()).digest()[:8], rules.ruleset)


def _terms(rules: Rules, centre: str) -> Terms:
    return Terms(centre, rules.tariffs(centre), rules.schemes)
