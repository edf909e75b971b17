"""Records that wait for a person: what they are, and the decision to rate them after all or to leave them as they are."""

from __future__ import annotations

from typing import Any, NamedTuple

from ledger.errors import Kind
from ledger.scope import Scope
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering import fate_store as fates
from metering import segment
from metering import store as metering_store
from metering.errors import MeteringError
from metering.model import UsageRecord
from metering.quarantine import SKEW_HELD_US, Cause, Verdict, releasable
from metering.store import Source
from metering.zones import rfc3339
from suanquan.db.notices import put
from suanquan.errors import ServiceError
from suanquan.notices.model import Kind as NoticeKind
from suanquan.notices.model import Notice, of_centre
from suanquan.use_cases.settle import Change, Counted, Said, counted_of, settle, unpriced
from suanquan.use_cases.shares import Terms

REASON_MAX = 400
_COUNTED = {"release": "released", "drop": "dropped"}
_REFUSED = {
    "correction-needed": (
        "同一编号已有另一内容，须以更正处理（usage revise）",
        "its id was said with other content: correct that record (usage revise)",
    ),
    "model-unknown": ("型号或价格仍未登记", "its card or price is still not registered"),
    "record-rejected": ("记录本身有误，只能不予计价", "the record itself is wrong: it can only be dropped"),
    "clock-ahead": ("该用量按服务时钟尚未结束", "by our clock this usage has not ended yet"),
    "superseded": ("该记录已被更正或结算", "the record was corrected or settled since"),
}


class Place(NamedTuple):
    """Where a record waits: number of the batch, and position in it."""

    batch: int
    position: int


class Decision(NamedTuple):
    """What a person decides of a record that waits, and why."""

    place: Place
    verdict: Verdict
    officer: str
    reason: str


def parse_place(text: str) -> Place:
    """`BATCH-POSITION`, as lists show it.

    Raises:
        ServiceError: `quarantine-unknown`.

    """
    batch, dash, position = text.partition("-")
    if not (dash and batch.isdecimal() and position.isdecimal() and max(len(batch), len(position)) < 16):
        raise _unknown(text)
    return Place(int(batch), int(position))


def _unknown(text: str) -> ServiceError:
    return ServiceError(
        "quarantine-unknown", f"没有待核记录“{text[:40]}”", f"no record waits as {text[:40]!r}", kind=Kind.NOT_FOUND
    )


async def list_waiting(
    conn: Connection, scope: Scope, *, centre: str | None = None, limit: int = 100, every: bool = False
) -> list[dict[str, Any]]:
    """Records that wait, newest first, with what they say; decided ones too where `every` one is wanted."""
    return [_shown(row) for row in await fates.waiting(conn, scope, centre=centre, limit=limit, every=every)]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"place": f"{row['batch']}-{row['position']}"}
    found |= {name: row[name] for name in ("centre", "id", "status", "code", "batch", "position")}
    if row["verdict"]:
        found["verdict"] = row["verdict"]
    if row["status"] == "rejected":
        return found | {"raw": row["record"].decode(errors="replace")}
    record = segment.decode(row["record"])
    return found | {
        "account": record.account,
        "job": record.job,
        "start": rfc3339(record.start_us),
        "end": rfc3339(record.end_us),
        "accelerators": {part.model: part.count_milli for part in record.accelerators},
        "gpu_ms": str(record.gpu_ms),
        "final": record.final,
    }


async def decide(tx: Transaction, said: Said, decision: Decision, terms_of: Any) -> dict[str, Any]:
    """Release a record, which rates and posts it as if it had come now, or drop it, which keeps it unrated; once.

    Raises:
        ServiceError: `quarantine-unknown`, `quarantine-decided`, `reason-missing`.
        MeteringError: why it cannot be released now.

    """
    reason = decision.reason.strip()
    if not reason or len(reason) > REASON_MAX or not reason.isprintable() or not decision.officer.strip():
        raise ServiceError(
            "reason-missing",
            "请写明经办人与理由（至多 400 字）",
            "name the officer and the reason (at most 400 characters)",
        )
    place, wanted = decision.place, "release" if decision.verdict is Verdict.RELEASE else "drop"
    row = await fates.waiting_at(tx.connection, *place)
    if row is None:
        raise _unknown(f"{place.batch}-{place.position}")
    if row["verdict"] is not None:
        if row["verdict"] == wanted:
            return _shown(row)
        raise ServiceError(
            "quarantine-decided", f"已有决定：{row['verdict']}", f"decided before: {row['verdict']}", kind=Kind.CONFLICT
        )
    found = await metering_store.batch_numbered(tx.connection, place.batch)
    assert found is not None, "what waits came in a batch"
    source = next(one for one in await metering_store.load_sources(tx.connection) if one.number == found[0])
    terms: Terms = terms_of(row["centre"])
    change = Change(
        row["id"], wanted, row["record"], Counted(), None, reason=reason, requested_by=decision.officer, counts=False
    )
    if decision.verdict is Verdict.RELEASE:
        await _release(tx, source, row, terms, change)
    await settle(tx, said, source, terms, [change])
    await fates.write_verdict(tx.connection, place.batch, place.position, wanted, change.fact)
    await metering_store.add_statuses(tx.connection, row["centre"], {_COUNTED[wanted]: 1})
    await _tell(tx, row, wanted)
    return _shown(row | {"verdict": wanted})


async def _tell(tx: Transaction, row: dict[str, Any], wanted: str) -> None:
    """Tell the centre what became of a record of its own."""
    zh, en = ("已放行，照常计入", "was released and counts") if wanted == "release" else ("不予计入", "was dropped")
    words = f"隔离的记录 {row['id']} {zh}", f"the record {row['id']} in quarantine {en}"
    data = {"centre": row["centre"], "record": row["id"], "verdict": wanted}
    told = Notice(NoticeKind.QUARANTINE_DECIDED, of_centre(row["centre"]), row["id"], *words, data)
    await put(tx.connection, told, tx.now_ns // 1000)


async def _release(tx: Transaction, source: Source, row: dict[str, Any], terms: Terms, change: Change) -> None:
    """Make the change rate and post the record.

    Raises:
        MeteringError: why it cannot be released now.

    """
    if row["status"] == "rejected":
        raise _refused("record-rejected")
    record = segment.decode(row["record"])
    known = not unpriced([record], terms)
    if code := releasable(Cause(row["code"]), Verdict.RELEASE, model_known=known):
        raise _refused(code)
    if not known:
        raise _refused("model-unknown")
    if record.end_us > tx.now_ns // 1000 + SKEW_HELD_US:
        raise _refused("clock-ahead")
    counted, said = await counted_of(tx, source, record.id)
    if _is_past(counted, record, said):
        raise _refused("superseded")
    change.before, change.after, change.counts = counted, record, True


def _is_past(counted: Counted, record: UsageRecord, said: UsageRecord | None) -> bool:
    """Whether more is known than the record that waits: a correction, a report, a checkpoint that says more."""
    if counted.revision or counted.batch is not None:
        return True
    if counted.record is None:
        return not record.final and said is not None and said.final
    return counted.record.final or (not record.final and counted.record.gpu_ms >= record.gpu_ms)


def _refused(code: str) -> MeteringError:
    zh, en = _REFUSED[code]
    return MeteringError(code, zh, en, kind=Kind.CONFLICT)
