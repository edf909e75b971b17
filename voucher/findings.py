"""The abuse checks A1 to A15 and the queue that a reviewer works through. Nothing here blocks: a finding is a question.

Every check is a pure function of what is known; the same facts give the same findings, with the same ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from ledger.errors import Kind
from voucher import findings_money, findings_parties, findings_usage
from voucher.errors import VoucherError
from voucher.finding import Suspicion


class Check(NamedTuple):
    """One pattern of abuse: what it is, where it was seen, and the function that looks for it."""

    name: str
    zh: str
    en: str
    seen: str
    look: Callable[..., Iterator[Suspicion]]


CHECKS = MappingProxyType(
    {
        check.name: check
        for check in (
            Check(
                "A1",
                "返还自付部分",
                "payback of the own share",
                "韩国 2021 年服务券案 Korea 2021",
                findings_money.paybacks,
            ),
            Check(
                "A2",
                "关联方交易",
                "deals of related parties",
                "多地方案禁止 forbidden in several texts",
                findings_parties.related_parties,
            ),
            Check("A3", "虚构用量", "invented usage", "补贴审计案例 audits of subsidies", findings_usage.sham_use),
            Check(
                "A4",
                "组织代申请",
                "organised proxy applications",
                "韩国 2021 年服务券案 Korea 2021",
                findings_parties.proxy_clusters,
            ),
            Check(
                "A5",
                "同一合同、发票重复申领",
                "one contract or invoice twice",
                "查重规定 rules on double claims",
                findings_money.used_twice,
            ),
            Check("A6", "拆分单位多领", "split firms", "方案文本禁止 forbidden in texts", findings_parties.split_firms),
            Check(
                "A7", "供需双方同领", "both sides claim", "方案文本禁止 forbidden in texts", findings_money.both_sides
            ),
            Check(
                "A8",
                "转让、出借",
                "sold or lent vouchers",
                "方案文本禁止 forbidden in texts",
                findings_parties.borrowed_vouchers,
            ),
            Check(
                "A9",
                "为补贴提价",
                "prices raised for the scheme",
                "补贴审计案例 audits of subsidies",
                findings_money.price_rises,
            ),
            Check(
                "A10",
                "虚报算力",
                "inflated capacity",
                "公开的算力总数有误 published totals with errors",
                findings_usage.inflated_capacity,
            ),
            Check("A11", "自建自用", "self-built own use", "方案文本除外 excluded in texts", findings_parties.own_use),
            Check(
                "A12",
                "不合规费用计作算力",
                "ineligible items as compute",
                "方案文本除外 excluded in texts",
                findings_money.misplaced_items,
            ),
            Check(
                "A13",
                "漏报、多报",
                "incomplete reports",
                "网格计算的完整性核对 grid accounting",
                findings_usage.incomplete_reports,
            ),
            Check(
                "A14", "内部人作为", "insider acts", "补贴审计案例 audits of subsidies", findings_parties.insider_acts
            ),
            Check(
                "A15",
                "受惩戒者改名重来",
                "banned firm under a new name",
                "财政资金管理规定 rules on public funds",
                findings_parties.banned_again,
            ),
        )
    }
)


class Verdict(NamedTuple):
    """What a reviewer decided about a finding: `unfounded`, `explained` or `confirmed`, by whom and why."""

    outcome: str
    reviewer: str
    reason: str


OUTCOMES = ("unfounded", "explained", "confirmed")


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding in the queue. `id` stands for its content, so that the same finding again is the same entry."""

    id: str
    suspicion: Suspicion
    verdict: Verdict | None = None


def finding_id(suspicion: Suspicion) -> str:
    """Id of a finding by what it says: check, subject and evidence, in any order."""
    parts = [suspicion.check, suspicion.subject, *sorted("\x1f".join(item) for item in suspicion.evidence)]
    return hashlib.sha256("\x1e".join(parts).encode()).hexdigest()[:32]


def enqueue(queue: Iterable[Entry], found: Iterable[Suspicion]) -> tuple[Entry, ...]:
    """The queue with new findings behind the old ones; what was there, decided or not, stays as it is."""
    entries = {entry.id: entry for entry in queue}
    for suspicion in found:
        name = finding_id(suspicion)
        entries.setdefault(name, Entry(name, suspicion))
    return tuple(entries.values())


def judge(entry: Entry, verdict: Verdict) -> Entry:
    """The entry with a verdict. It changes nothing else: what follows from it is decided elsewhere, by people.

    Raises:
        VoucherError: `finding-decided`; `verdict-invalid`, an unknown outcome, no reviewer or no reason.

    """
    if entry.verdict is not None:
        raise VoucherError(
            "finding-decided",
            f"{entry.verdict.reviewer} 已作结论",
            f"{entry.verdict.reviewer} has decided it",
            kind=Kind.CONFLICT,
        )
    if verdict.outcome not in OUTCOMES or not verdict.reviewer.strip() or not verdict.reason.strip():
        words = ", ".join(OUTCOMES)
        raise VoucherError(
            "verdict-invalid",
            f"须写明结论（{words}）、复核人和理由",
            f"name an outcome ({words}), a reviewer and a reason",
        )
    return Entry(entry.id, entry.suspicion, verdict)
