"""What a scheme file may hold: every key with its kind, every parameter that must be fixed or admitted to be unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from voucher.fields import (
    DAY,
    FEN,
    FLAG,
    PERCENT,
    PFLOPS_H,
    SHARE,
    TEXT,
    Field,
    integer,
    list_of,
    matching,
    one_of,
    unless,
)
from voucher.scheme import ACTIONS, CLAIM_MODES, COST_KINDS, ID, SIGNATURES, SchemeStatus

UNSET = "unset"
"""Stands where no text fixes a value; only a draft may say so, and `unknown` must name the parameter."""

_NAME = matching(ID, "由小写字母、数字、连字符组成的编号", "an id of lower-case letters, digits and hyphens")
_WORD = matching(r"[a-z][a-z0-9_]*", "小写英文名", "a lower-case name")
_MODEL = matching(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", "加速卡型号", "an accelerator model")
_FACT = matching(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", "事实名称", "the name of a fact")
_YEARS = integer(1, 100)
_COSTS = list_of(one_of(*COST_KINDS))

IDENTITY: Mapping[str, Field] = {"id": _NAME, "name_zh": TEXT, "name_en": TEXT, "authority": TEXT}
"""The scheme's own keys; everything in a version is a value that somebody fixed and needs a source."""

VERSION: Mapping[str, Field] = {
    "version": matching(r"[0-9A-Za-z][0-9A-Za-z.-]{0,39}", "版本名", "a version name"),
    "status": one_of(*(status.value for status in SchemeStatus)),
    "from": unless("open", DAY),
    "to": unless("open", DAY),
    "unknown": list_of(TEXT, empty=True),
    "none": list_of(TEXT, empty=True),
    "decisive_date": _FACT,
    "claim_mode": one_of(*CLAIM_MODES),
    "currency": one_of("CNY"),
    "denomination": list_of(one_of("CNY_FACE", "PFLOPS.h")),
    "combine": one_of("first", "max", "sum"),
    "channels": list_of(_WORD),
}
VERSION_REQUIRED = ("version", "status", "from", "to", "unknown", "decisive_date", "currency")

SECTIONS: Mapping[str, Mapping[str, Field]] = {
    "window": {"from": DAY, "to": DAY},
    "application": {"from": DAY, "to": DAY},
    "contract": {"max_duration_months": integer(1, 600), "claims_per_contract": integer(1, 1000)},
    "base": {
        "kind": one_of("contract_amount", "paid_amount", "settled_amount", "usage_fee"),
        "included": _COSTS,
        "excluded": _COSTS,
        "tax": one_of("inclusive", "exclusive"),
        "period_from": DAY,
        "period_to": DAY,
        "prorate": one_of("days_exclusive_end", "days_inclusive"),
    },
    "thresholds": {
        "min_spend_fen": FEN,
        "min_voucher_fen": FEN,
        "max_voucher_fen": FEN,
        "min_voucher_pflops_h": PFLOPS_H,
        "max_voucher_pflops_h": PFLOPS_H,
    },
    "override": {},
    "rounding": {"mode": one_of("truncate", "half_up"), "quantum_fen": integer(1, 10**8)},
    "budget": {
        "per_year_fen": FEN,
        "per_round_fen": FEN,
        "per_year_pflops_h": PFLOPS_H,
        "on_exhaustion": one_of("contract_signed_at_asc", "application_received_at_asc", "pro_rata", "closed"),
        "over_issue": FLAG,
    },
    "voucher": {
        "validity_months": integer(1, 120),
        "valid_from": DAY,
        "valid_to": DAY,
        "transferable": FLAG,
        "multi_use": FLAG,
        "at_expiry": one_of("run_to_end", "stop"),
        "interrupted_time": one_of("charged", "not_charged"),
        "priority": integer(0, 999),
        "signatures": list_of(one_of(*SIGNATURES)),
        "offline_hours": integer(1, 24),
        "offline_percent": integer(1, 100),
        "offline_centre_fen": FEN,
        "offline_centre_pflops_h": PFLOPS_H,
        "centres": unless("*", list_of(_NAME)),
        "actions": list_of(one_of(*ACTIONS)),
        "accelerators": unless("*", list_of(_MODEL)),
        "price_list": _NAME,
    },
    "settlement": {
        "cycle": one_of("immediate", "month", "quarter", "half_year", "year"),
        "payee": one_of("provider", "beneficiary", "provider_or_beneficiary"),
        "invoice_rule": one_of("provider_invoices_full_amount", "provider_invoices_own_share"),
    },
    "target": {"measure": _WORD, "least": integer(1, 10**12), "exclusive": FLAG},
    "evidence": {name: list_of(_WORD) for name in ("apply", "claim", "redeem", "settle")},
    "publication": {"working_days": integer(1, 60)},
    "providers": {"mode": one_of("criteria", "published_list", "named"), "criteria": list_of(TEXT)},
    "sanctions": {"years": _YEARS},
    "retention": {"years": _YEARS},
    "reporting": {"late_days": unless("open", integer(1, 3660)), "reports": list_of(_WORD)},
    "log": {"publication": one_of("commitments", "names")},
    "reclaim": {"cycle_months": integer(1, 36), "notice_days": integer(1, 365)},
}

ROWS: Mapping[str, Mapping[str, Field]] = {
    "ratio": {"max_percent": PERCENT},
    "cap": {
        "limit": one_of("contract", "beneficiary_year", "beneficiary_total", "voucher"),
        "fen": FEN,
        "pflops_h": PFLOPS_H,
        "counts": list_of(one_of("claimed", "redeemed")),
    },
    "condition": {"id": _FACT},
    "funding": {"level": one_of("state", "province", "city", "district"), "share": SHARE},
    "stage": {"step": _WORD, "actor": TEXT},
    "tranche": {"share": SHARE, "after": _WORD},
    "stacking": {"other": TEXT, "rule": one_of("forbidden", "allowed", "preferred")},
}
ROW_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "ratio": ("max_percent",),
    "cap": ("limit",),
    "condition": (),
    "funding": ("level", "share"),
    "stage": ("step", "actor"),
    "tranche": ("share", "after"),
    "stacking": ("other", "rule"),
}
SECTION_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "window": ("from", "to"),
    "application": ("from", "to"),
    "base": ("kind",),
    "rounding": ("mode", "quantum_fen"),
    "target": ("measure", "least", "exclusive"),
    "publication": ("working_days",),
    "providers": ("mode",),
    "sanctions": ("years",),
    "retention": ("years",),
    "log": ("publication",),
    "reclaim": ("cycle_months", "notice_days"),
}
RECLAIM_ROW: Mapping[str, Field] = {"used_up_to_percent": PERCENT, "reclaimed_percent": PERCENT}
EXAMPLE: Mapping[str, Field] = {
    "on": DAY,
    "amount_yuan": matching(r"[0-9]+(\.[0-9]{2})?", '加引号的元，如 "25102"', 'yuan in quotes, such as "25102"'),
}
"""`[[example]]`: a case that the text publishes, with the facts it gives; the rules as read must come to its figure."""
CONDITIONAL = frozenset({"ratio", "cap", "override"})
"""Tables that may carry `when`, a condition in the operators of `subsidy`."""
ISSUING = ("priority", "centres", "actions", "accelerators", "price_list")
"""Keys of `voucher` that suanquan needs to issue; they are the operator's, not the policy's."""


class Parameter(NamedTuple):
    """Something in which cities differ: where its value stands (any of the places will do), and what it decides."""

    places: tuple[str, ...]
    zh: str
    en: str


PARAMETERS: Mapping[str, Parameter] = {
    "claim_mode": Parameter(("claim_mode",), "兑现方式", "who holds money when"),
    "denomination": Parameter(("denomination",), "计量单位", "the unit of the voucher"),
    "base": Parameter(("base.kind",), "补贴基数", "the cost that the ratio applies to"),
    "cost_items": Parameter(("base.included", "base.excluded"), "计入或不计入的费用", "cost kinds that count"),
    "tax_basis": Parameter(("base.tax",), "含税或不含税", "with or without tax"),
    "ratio": Parameter(("ratio",), "补贴比例", "the share of the base"),
    "caps": Parameter(("cap",), "上限", "the most that is given"),
    "min_spend": Parameter(("thresholds.min_spend_fen",), "最低支出", "the least spending that counts"),
    "min_voucher": Parameter(
        ("thresholds.min_voucher_fen", "thresholds.min_voucher_pflops_h"), "单张最低额", "the smallest voucher"
    ),
    "rounding": Parameter(("rounding.mode",), "取整", "how a figure is rounded"),
    "budget": Parameter(
        ("budget.per_year_fen", "budget.per_round_fen", "budget.per_year_pflops_h"),
        "预算",
        "the money of the programme",
    ),
    "on_exhaustion": Parameter(("budget.on_exhaustion",), "预算不足时的次序", "who comes first when money runs out"),
    "funding": Parameter(("funding",), "资金分担", "which level bears what share"),
    "window": Parameter(("window.from",), "发放期", "days of issue"),
    "application": Parameter(("application.from",), "申请期", "days of application"),
    "contract": Parameter(
        ("contract.max_duration_months", "contract.claims_per_contract"), "合同要求", "what a contract must be"
    ),
    "eligibility": Parameter(("condition",), "申领条件", "who may apply"),
    "providers": Parameter(("providers.mode",), "服务商准入", "which providers are admitted"),
    "channels": Parameter(("channels",), "发放渠道", "who hands out"),
    "evidence": Parameter(
        ("evidence.apply", "evidence.claim", "evidence.redeem", "evidence.settle"), "材料", "papers at each step"
    ),
    "stages": Parameter(("stage",), "办理环节", "steps and their actors"),
    "publication_days": Parameter(("publication.working_days",), "公示工作日", "working days of public notice"),
    "validity": Parameter(("voucher.validity_months", "voucher.valid_from"), "有效期", "how long a voucher is valid"),
    "transferable": Parameter(("voucher.transferable",), "可否转让", "whether it may be passed on"),
    "multi_use": Parameter(("voucher.multi_use",), "可否多次使用", "whether it may be used in parts"),
    "at_expiry": Parameter(("voucher.at_expiry",), "到期时在跑的作业", "a job that runs at expiry"),
    "interrupted_time": Parameter(("voucher.interrupted_time",), "中断作业的计费", "time of interrupted jobs"),
    "settlement_cycle": Parameter(("settlement.cycle",), "结算周期", "how often is settled"),
    "payee": Parameter(("settlement.payee",), "收款方", "who is paid"),
    "invoice_rule": Parameter(("settlement.invoice_rule",), "开票规则", "what is invoiced"),
    "stacking": Parameter(("stacking",), "不重复支持", "what may not be had besides"),
    "sanctions": Parameter(("sanctions.years",), "失信惩戒年限", "years of exclusion"),
    "retention": Parameter(("retention.years",), "资料保存年限", "years that papers are kept"),
    "reports": Parameter(("reporting.reports",), "报表", "what is reported"),
    "log_publication": Parameter(("log.publication",), "公开日志的内容", "what the public log shows"),
}
"""Each is given, or named in `unknown`, or in `none` where the text is known to fix none."""

_FIGURE = ("base", "ratio", "caps")
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "issue_then_offset": (
        *_FIGURE,
        "validity",
        "transferable",
        "multi_use",
        "settlement_cycle",
        "payee",
        "invoice_rule",
    ),
    "issue_then_reimburse": (*_FIGURE, "contract", "evidence"),
    "post_use_direct": (*_FIGURE, "cost_items", "rounding", "application"),
    "auto_enjoy": (*_FIGURE, "payee"),
    "target_responsibility": ("caps", "payee", "evidence"),
    "free_allocation": ("caps", "validity", "channels"),
}
"""What no scheme of a claim mode may leave unknown unless it is a draft."""

MODE_SECTIONS: Mapping[str, tuple[str, ...]] = {"target_responsibility": ("target",)}
"""Tables that only this claim mode has, and needs."""
