"""The abuse checks A1 to A15, the second sight S1 to S5, and what a review may decide. Nothing blocks: a finding is a question.

Every check is a pure function of what is known; the same facts give the same findings, with the same ids.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple

from ledger.errors import Kind
from voucher import findings_money, findings_parties, findings_sight, findings_usage
from voucher.errors import VoucherError
from voucher.finding import Evidence, Suspicion

EVIDENCE_MAX = 200
"""Items of evidence of one finding; more say nothing new."""


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
            Check(
                "S1", "超出登记的卡数", "beyond the capacity", "按卡清点 cards counted", findings_sight.over_capacity
            ),
            Check("S2", "一卡两用", "one device, two holders", "监控 monitors", findings_sight.shared_devices),
            Check("S3", "相同的作业", "jobs that look like one", "上报 reports", findings_sight.look_alike),
            Check("S4", "上报与监控不符", "reports against monitors", "监控 monitors", findings_sight.contradictions),
            Check("S5", "占而不用", "held and left idle", "监控 monitors", findings_sight.hoarding),
        )
    }
)


class State(enum.Enum):
    """Where a finding stands in the queue."""

    OPEN = "open"
    EXPLAINED = "explained"
    UPHELD = "upheld"
    DISMISSED = "dismissed"


class Verdict(NamedTuple):
    """What a reviewer decided about a finding, by whom and why; back to `open` is a decision, too."""

    state: State
    reviewer: str
    reason: str


def finding_id(suspicion: Suspicion) -> str:
    """Id of a finding: its check, its subject and what tells it from others; without that, what its evidence is about."""
    marks = [suspicion.key] if suspicion.key else sorted(f"{item.name}\x1f{item.record}" for item in suspicion.evidence)
    return hashlib.sha256("\x1e".join([suspicion.check, suspicion.subject, *marks]).encode()).hexdigest()[:32]


def merged(before: Sequence[Evidence], found: Sequence[Evidence], most: int = EVIDENCE_MAX) -> tuple[Evidence, ...]:
    """What is known with what was found now: of one thing the newer value; beyond `most` nothing more is kept."""
    known = {(item.name, item.record): item for item in before}
    for item in found:
        if (item.name, item.record) in known or len(known) < most:
            known[item.name, item.record] = item
    return tuple(known.values())


def check_verdict(state: State, evidence: Iterable[Evidence], subject: str, verdict: Verdict) -> None:
    """Refuse a verdict that says nothing, one after another verdict, and one by whom the finding is about.

    An open finding gets a verdict; a decided one is opened again first. It changes nothing else: what follows from it is
    decided elsewhere, by people.

    Raises:
        VoucherError: `verdict-invalid`, `finding-decided`, `reviewer-involved`.

    """
    if not verdict.reviewer.strip() or not verdict.reason.strip():
        raise VoucherError("verdict-invalid", "须写明复核人和理由", "name a reviewer and a reason")
    if (state is State.OPEN) is (verdict.state is State.OPEN):
        zh, en = ("尚未作结论", "it is open") if state is State.OPEN else ("已作结论", "it has been decided")
        raise VoucherError(
            "finding-decided", f"{zh}：{state.value}", f"{en}: {state.value}; open it again first", kind=Kind.CONFLICT
        )
    if verdict.reviewer in {subject, *(item.value for item in evidence)}:
        raise VoucherError(
            "reviewer-involved",
            f"{verdict.reviewer} 与此有关，须由他人复核",
            f"it is about {verdict.reviewer}; somebody else must review it",
            kind=Kind.NOT_ALLOWED,
        )
