"""Corrections: a record is voided or revised by its id; what was acknowledged stays, the highest revision counts.

The centre's agent corrects what ended within the normal window alone, later with a reason; what is older takes two persons
of the office. A correction may come before the report that it corrects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ledger.errors import Kind
from ledger.transaction import Transaction
from metering import fate_store as fates
from metering import segment
from metering import store as metering_store
from metering.corrections import Correction, correction_fault
from metering.errors import MeteringError
from metering.fate_store import Fact
from metering.model import UsageRecord
from metering.quarantine import Cause
from metering.signature import SignatureError
from metering.store import Source
from suanquan.use_cases.hold_unnamed import meets_hold
from suanquan.use_cases.settle import Change, Said, counted_of, last_said, settle, unpriced
from suanquan.use_cases.shares import Terms

CORRECTIONS = ("void", "revise")
FAULTS = {
    "revision-invalid": ("修订号应为 1 至 100", "a revision is 1 to 100"),
    "foreign-record": ("内容的编号不是被更正的编号", "the record has another id than the one it corrects"),
    "not-final": ("更正须给出已结束的区间", "a correction gives a closed interval"),
    "reason-invalid": ("理由过长或含控制字符", "the reason is too long or has control characters"),
    "reason-missing": ("用量结束已超过 72 小时，须写明理由", "the usage ended over 72 hours ago: a reason is needed"),
    "approval-missing": (
        "用量结束已超过 45 天，须由主管部门两人办理",
        "the usage ended over 45 days ago: two persons of the office must act",
    ),
    "record-unknown": ("没有这条记录，无法作废", "there is no such record to void"),
    "revision-reused": ("该修订号此前的内容不同", "this revision was made before with other content"),
    "model-unknown": ("型号或价格未登记", "its card or price is not registered"),
    "hold-unnamed": (
        "该单位在本中心有冻结：请在 voucher 写冻结编号；与冻结无关的，由主管部门两人办理",
        "its holder has a hold at the centre: name it in `voucher`; if it has nothing to do with it, two persons of the office must act",
    ),
}
"""Why a correction is not taken, in words."""


class Result(NamedTuple):
    """What became of a correction."""

    id: str
    revision: int
    status: str
    code: str = ""


async def correct(
    tx: Transaction, said: Said, source: Source, terms: Terms, corrections: Sequence[Correction]
) -> list[Result]:
    """Take corrections one after another; one that cannot be taken leaves no trace, the others go on."""
    results = [await _one(tx, said, source, terms, one) for one in corrections]
    taken = [one.record for one, result in zip(corrections, results, strict=True) if result.status == "accepted"]
    counts = {"voided": taken.count(None), "revised": len(taken) - taken.count(None)}
    await metering_store.add_statuses(tx.connection, source.centre, counts)
    if taken:
        names = [one.record_id for one in corrections]
        await metering_store.put_source(tx.connection, replace(source, last_id=max([source.last_id, *names])))
    return results


async def open_corrected(tx: Transaction, urn: str, centre: str) -> Source:
    """The source that is corrected; registered on first sight, for a correction may come first."""
    return await metering_store.open_source(tx.connection, urn, centre)


async def use_nonce(tx: Transaction, kid: str, nonce: str, until_us: int) -> None:
    """Take the nonce of a signed request.

    Raises:
        SignatureError: `nonce-replayed`.

    """
    if not await metering_store.use_nonce(tx.connection, kid, nonce, until_us):
        raise SignatureError("nonce-replayed", "该签名请求已被使用", "this signed request was used before")


def refusal(code: str) -> MeteringError:
    """A correction that was not taken, as an error."""
    zh, en = FAULTS[code]
    kind = Kind.NOT_FOUND if code == "record-unknown" else Kind.CONFLICT if code == "revision-reused" else Kind.INVALID
    return MeteringError(code, zh, en, kind=Kind.NOT_ALLOWED if code == "approval-missing" else kind)


async def _one(tx: Transaction, said: Said, source: Source, terms: Terms, correction: Correction) -> Result:
    name, revision = correction.record_id, correction.revision
    earlier = await _corrections(tx, source, name)
    leaf = _leaf(correction.record)
    if revision in earlier:
        same = earlier[revision].record == leaf
        return Result(name, revision, "duplicate" if same else "conflict", "" if same else "revision-reused")
    counted, _ = await counted_of(tx, source, name)
    known = await last_said(tx, source, name)
    fault = _fault(tx, correction, known, terms) or await _of_hold(tx, correction, counted.record, terms)
    if fault is not None:
        return Result(name, revision, "rejected", fault)
    counts = revision > max(earlier, default=0)
    change = Change(
        name, "void" if correction.record is None else "revise", leaf, counted if counts else type(counted)(),
        correction.record if counts else None, revision, correction.reason, correction.requested_by,
        correction.approved_by, counts,
    )  # fmt: skip
    await settle(tx, said, source, terms, [change])
    return Result(name, revision, "accepted", "" if counts else "superseded")


async def _corrections(tx: Transaction, source: Source, record_id: str) -> dict[int, Fact]:
    facts = await fates.facts_of(tx.connection, source.number, [record_id])
    return {fact.revision: fact for fact in facts if fact.kind in CORRECTIONS}


def _fault(tx: Transaction, correction: Correction, known: UsageRecord | None, terms: Terms) -> str | None:
    record = correction.record
    ends = [one.end_us for one in (known, record) if one is not None]
    if not ends:
        return "record-unknown"
    if fault := correction_fault(correction, min(ends), tx.now_ns // 1000):
        return fault
    return "model-unknown" if record is not None and unpriced([record], terms) else None


async def _of_hold(tx: Transaction, correction: Correction, counted: UsageRecord | None, terms: Terms) -> str | None:
    """A centre cannot correct its way around a hold; two persons of the office can, and what a person let through stays so."""
    if correction.record is None or correction.approved_by or not await meets_hold(tx, terms, correction.record):
        return None
    return None if counted is not None and await meets_hold(tx, terms, counted) else Cause.HOLD.value


def _leaf(record: UsageRecord | None) -> bytes:
    if record is None:
        return b""
    return segment.encode(
        record.id, record.account, record.job, record.attempt, record.start_us, record.end_us, record.active_ms,
        record.accelerators, record.state, record.final, record.voucher,
    )  # fmt: skip


async def newest_revision(tx: Transaction, source: Source, record_id: str) -> int:
    """The last revision of a record, 0 where it was never corrected."""
    return max(await _corrections(tx, source, record_id), default=0)
