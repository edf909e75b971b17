"""Findings: a run of all checks over what the home has, the queue of what they pointed out, and decisions on it.

A finding is raised once. What a later run sees more of it is added to its evidence, which reopens nothing: a decided finding
says that there is new evidence, and a reviewer may open it again. Nothing is refused, held or debited because of a finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.errors import Kind
from ledger.journal import Journal
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering import sight_store
from metering.sight_store import Span
from metering.zones import rfc3339
from suanquan.catalog import Catalog
from suanquan.errors import ServiceError
from suanquan.office import Office
from suanquan.use_cases import gather
from suanquan.use_cases.notes import append_note, named
from suanquan.use_cases.sight import look_at_use, make_plan
from suanquan.use_cases.subsidies import rules_folder
from voucher import finding_store
from voucher.finding import Evidence, Suspicion, Thresholds, load_thresholds
from voucher.finding_store import Kept, Review, RunRow, Seen
from voucher.findings import CHECKS, State, Verdict, check_verdict, finding_id, merged

THRESHOLDS = "thresholds.toml"


@dataclass(frozen=True, slots=True)
class Examination:
    """What a run of the checks came to, to be recorded: findings, and how far it looked."""

    found: list[Suspicion]
    spans: list[Span]
    last_batch: int
    judged_us: int


def thresholds_of(config: Path) -> Thresholds:
    """Thresholds of a home, or those that ship with suanquan where it has none.

    Raises:
        VoucherError: `thresholds-invalid`.

    """
    file = rules_folder(config, "findings") / THRESHOLDS
    return load_thresholds(file.read_bytes(), str(file))


async def examine(
    conn: Connection, catalog: Catalog, office: Office, limits: Thresholds, now_us: int, *, again: bool = False
) -> Examination:
    """Run every check, over the usage since the last run; `again`: over all usage."""
    last = RunRow(0, 0, 0, 0, 0, 0) if again else await finding_store.last_run(conn)
    plan = await make_plan(conn, last, now_us, limits)
    found, use = await look_at_use(conn, catalog, plan, limits)
    home = gather.Home(conn, catalog, office, limits, now_us)
    people = await gather.people_of(home)
    found += await gather.of_parties(home, people, use)
    found += await gather.of_money(home, use)
    found += await gather.of_centres(home, people)
    found += await gather.of_insiders(home, people)
    return Examination(found, list(plan.spans.values()), plan.last_batch, max(plan.settled_us, 0))


def to_json(examined: Examination) -> dict[str, Any]:
    """An examination as one JSON document."""
    return {
        "found": [
            {name: getattr(one, name) for name in ("check", "subject", "key", "zh", "en", "question")}
            | {"evidence": [list(item) for item in one.evidence]}
            for one in examined.found
        ],
        "spans": [list(span) for span in examined.spans],
        "last_batch": examined.last_batch,
        "judged_us": examined.judged_us,
    }


def from_json(content: Mapping[str, Any]) -> Examination:
    """An examination that another process made."""
    found = [
        Suspicion(**one | {"evidence": tuple(Evidence(*item) for item in one["evidence"])}) for one in content["found"]
    ]
    return Examination(found, [Span(*span) for span in content["spans"]], content["last_batch"], content["judged_us"])


async def record(journal: Journal, examined: Examination) -> dict[str, Any]:
    """Keep what a run found: findings not known before, and more evidence of known ones; say how many of each."""

    async def write(tx: Transaction) -> dict[str, Any]:
        now_us = tx.now_ns // 1000
        raised, renewed = await _keep(tx.connection, examined.found, now_us)
        known = await finding_store.last_run(tx.connection)
        await sight_store.write_spans(tx.connection, examined.spans)
        run = RunRow(
            known.number + 1,
            now_us,
            max(known.last_batch, examined.last_batch),
            max(known.judged_us, examined.judged_us),
            len(raised),
            len(renewed),
        )
        await finding_store.write_run(tx.connection, run)
        if raised or renewed:
            ids = {"raised": [one.id for one in raised], "renewed": renewed}
            await append_note(tx, {"type": "findings", "run": run.number, **ids})
        counts = Counter(one.pattern for one in raised)
        return {
            "run": run.number,
            "raised": len(raised),
            "renewed": len(renewed),
            "by_check": dict(sorted(counts.items())),
        }

    return await journal.transact(write)


async def _keep(conn: Connection, found: Sequence[Suspicion], now_us: int) -> tuple[list[Kept], list[str]]:
    by_id: dict[str, Suspicion] = {}
    said: dict[str, tuple[Evidence, ...]] = {}
    for one in found:
        name = finding_id(one)
        by_id.setdefault(name, one)
        said[name] = merged(said.get(name, ()), one.evidence)
    known = await finding_store.newest_evidence(conn, by_id)
    raised = [
        Kept(name, one.check, one.subject, one.zh, one.en, one.question, now_us)
        for name, one in by_id.items()
        if name not in known
    ]
    more = {name: merged(seen.evidence, said[name]) for name, seen in known.items()}
    renewed = sorted(name for name, evidence in more.items() if evidence != known[name].evidence)
    await finding_store.write_findings(conn, raised)
    await finding_store.write_evidence(
        conn,
        [(one.id, Seen(1, said[one.id], now_us)) for one in raised]
        + [(name, Seen(known[name].number + 1, more[name], now_us)) for name in renewed],
    )
    return raised, renewed


async def review(journal: Journal, finding: str, verdict: Verdict) -> dict[str, Any]:
    """Decide a finding, or open a decided one again; the decision stands in the log and changes nothing else.

    Raises:
        DomainError: `finding-unknown`, `finding-decided`, `reason-missing`, `reviewer-involved`.

    """
    officer, reason = named(verdict.reviewer, verdict.reason)

    async def write(tx: Transaction) -> dict[str, Any]:
        conn = tx.connection
        kept, seen = await _load(conn, finding)
        reviews = (await finding_store.reviews_of(conn, [finding])).get(finding, [])
        if reviews and _same(reviews[-1], verdict.state, officer, reason):  # said twice
            return await finding_object(conn, finding)
        state = reviews[-1].state if reviews else State.OPEN
        check_verdict(state, seen.evidence, kept.subject, Verdict(verdict.state, officer, reason))
        made = Review(len(reviews) + 1, verdict.state, officer, reason, seen.number, tx.now_ns // 1000)
        await finding_store.write_review(conn, finding, made)
        note = made._asdict() | {"state": made.state.value}
        await append_note(tx, {"type": "finding-review", "finding": finding, **note})
        return await finding_object(conn, finding)

    return await journal.transact(write)


def _same(last: Review, state: State, officer: str, reason: str) -> bool:
    return (last.state, last.officer, last.reason) == (state, officer, reason)


async def _load(conn: Connection, finding: str) -> tuple[Kept, Seen]:
    kept = await finding_store.load_finding(conn, finding)
    if kept is None:
        raise ServiceError(
            "finding-unknown",
            f"没有核查提示“{finding[:40]}”",
            f"there is no finding {finding[:40]!r}",
            kind=Kind.NOT_FOUND,
        )
    return kept, (await finding_store.newest_evidence(conn, [finding]))[finding]


async def finding_object(conn: Connection, finding: str) -> dict[str, Any]:
    """One finding with its evidence and every decision on it.

    Raises:
        ServiceError: `finding-unknown`.

    """
    kept, seen = await _load(conn, finding)
    reviews = (await finding_store.reviews_of(conn, [finding])).get(finding, [])
    return _line(kept, seen, reviews) | {
        "question": kept.question,
        "evidence": [item._asdict() for item in seen.evidence],
        "reviews": [
            {"state": one.state.value, "officer": one.officer, "reason": one.reason, "at": rfc3339(one.at_us)}
            for one in reviews
        ],
    }


async def list_findings(
    conn: Connection,
    *,
    state: str | None = None,
    check: str | None = None,
    subject: str | None = None,
    after: str = "",
    limit: int = 100,
) -> dict[str, Any]:
    """Findings, newest first; `next` continues.

    Raises:
        ServiceError: `finding-filter-invalid`: no such state or check.

    """
    if (state is not None and state not in {one.value for one in State}) or (check is not None and check not in CHECKS):
        states = ", ".join(one.value for one in State)
        raise ServiceError(
            "finding-filter-invalid",
            f"状态应为 {states}，核查应为 {', '.join(CHECKS)}",
            f"a state is one of {states}, a check one of {', '.join(CHECKS)}",
        )
    kept = await finding_store.list_findings(
        conn, state=state, pattern=check, subject=subject, after=after, limit=limit
    )
    ids = [one.id for one in kept]
    evidence = await finding_store.newest_evidence(conn, ids)
    reviews = await finding_store.reviews_of(conn, ids)
    lines = [_line(one, evidence[one.id], reviews.get(one.id, [])) for one in kept]
    return {"findings": lines, "next": ids[-1] if len(ids) == limit else None}


def _line(kept: Kept, seen: Seen, reviews: Sequence[Review]) -> dict[str, Any]:
    check = CHECKS[kept.pattern]
    return {
        "id": kept.id,
        "check": kept.pattern,
        "check_zh": check.zh,
        "check_en": check.en,
        "subject": kept.subject,
        "zh": kept.zh,
        "en": kept.en,
        "state": (reviews[-1].state if reviews else State.OPEN).value,
        "found": rfc3339(kept.found_us),
        "seen": rfc3339(seen.seen_us),
        "evidence_items": len(seen.evidence),
        "renewed": bool(reviews) and reviews[-1].evidence < seen.number,
    }
