"""The figure of a claim, step by step: base → days → ratio → rounding → caps → minimum. Exact but for the one rounding.

Limits are named `cap_contract`, `cap_beneficiary_year`, `cap_beneficiary_total`, `cap_voucher` and `budget`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from voucher.claim import Claim, Fen
from voucher.days import days_between, overlap_days
from voucher.scheme import Base, Cap, Rounding, Scheme

_USED_BY = {"beneficiary_year": "year_to_date", "beneficiary_total": "to_date"}
_COUNTERS = ("claimed", "redeemed")
_FLOOR_TO_FEN = Rounding("truncate", 1, "")


class Step(NamedTuple):
    """One step of the calculation: what was done, what stands after it (in fen, exact), by which text."""

    id: str
    zh: str
    en: str
    fen: Fen | None
    source: str


class Refused(NamedTuple):
    """Why a figure gives nothing although every condition holds: `min_spend` or `min_voucher`."""

    id: str
    zh: str
    en: str
    source: str


@dataclass(slots=True)
class Figure:
    """A figure in the making. `fen` counts only if nothing is missing and nothing refused it."""

    fen: int | None = None
    limits: tuple[str, ...] = ()
    refused: Refused | None = None
    missing: list[str] = field(default_factory=list)
    steps: tuple[Step, ...] = ()

    def step(self, name: str, zh: str, en: str, fen: Fen | int | None, source: str) -> None:
        """Note a step."""
        self.steps += (Step(name, zh, en, None if fen is None else Fraction(fen), source),)


def figure(scheme: Scheme, claim: Claim) -> Figure:
    """What the scheme gives for a claim that meets its conditions. The scheme fixes base, ratio and cap."""
    made = Figure()
    assert scheme.base is not None
    base = _base(made, scheme.base, claim)
    if base is None:
        return made
    if scheme.min_spend_fen is not None and base < scheme.min_spend_fen:
        least = yuan_text(Fraction(scheme.min_spend_fen))
        zh, en = f"支出须不低于 {least} 元", f"spending must be at least {least} yuan"
        made.refused = Refused("min_spend", zh, en, scheme.source("thresholds"))
        return made
    share = _share(made, scheme, claim)
    made.step(
        "ratio", f"补贴比例 {_percent(share)}%", f"{_percent(share)} % of it", share * base, scheme.ratio[0].source
    )
    amount = _rounded(made, share * base, scheme.rounding)
    amount = _capped(made, scheme, claim, amount)
    if made.missing:
        return made
    _minimum(made, scheme, amount, base)
    made.fen = amount
    return made


def _base(made: Figure, base: Base, claim: Claim) -> Fen | None:
    if claim.cost is None:
        made.missing.append("cost_items")
        return None
    total = Fraction(0)
    for item in claim.cost:
        counted = base.counts(item.kind)
        total += item.fen if counted else 0
        zh, en = ("计入", "counts") if counted else ("不计入", "does not count")
        made.step(
            "cost_item", f"{item.kind} {zh}", f"{item.kind} {en}", item.fen if counted else Fraction(0), base.source
        )
    made.step("base", "补贴基数", "the base", total, base.source)
    return _prorated(made, base, claim, total)


def _prorated(made: Figure, base: Base, claim: Claim, total: Fen) -> Fen | None:
    """The part of the base inside the scheme's period, by days of the contract."""
    period = base.period
    if period is None:
        return total
    assert period.first is not None
    assert period.last is not None
    starts, ends = claim.day("contract.starts_on"), claim.day("contract.ends_on")
    if starts is None or ends is None:
        made.missing += [name for name in ("contract.starts_on", "contract.ends_on") if claim.day(name) is None]
        return None
    inclusive = base.prorate == "days_inclusive"
    whole = days_between(starts, ends, inclusive=inclusive)
    part = overlap_days((starts, ends), (period.first, period.last), inclusive=inclusive)
    if whole == 0:  # a contract of a single day, ends exclusive: it lies in the period or it does not
        whole, part = 1, int(period.holds(starts))
    part_of = total * Fraction(part, whole)
    zh, en = f"按天折算 {part}/{whole}", f"in proportion to days, {part}/{whole}"
    made.step("prorate", zh, en, part_of, base.source)
    return part_of


def _share(made: Figure, scheme: Scheme, claim: Claim) -> Fraction:
    """The share by the ratio table. A row with a condition applies only if that certainly holds; others are for the rest."""
    rows = scheme.ratio
    holding = [row for row in rows if row.when is not None and row.when.test(claim.facts) is True]
    rest = [row for row in rows if row.when is None]
    if scheme.combine == "first":
        chosen = (holding or rest)[:1]
    elif scheme.combine == "max":
        chosen = sorted([*holding, *rest], key=lambda row: -row.share)[:1]
    else:
        chosen = [*holding, *rest]
    for row in chosen:
        number = rows.index(row) + 1
        zh, en = f"适用比例表第 {number} 行", f"row {number} of the ratio table applies"
        made.step("ratio_row", f"{zh}：{_percent(row.share)}%", f"{en}: {_percent(row.share)} %", None, row.source)
    return min(sum((row.share for row in chosen), Fraction(0)), Fraction(1))


def _rounded(made: Figure, amount: Fen, rounding: Rounding | None) -> int:
    """To the scheme's quantum; to the fen and down where no text says how."""
    rule = rounding or _FLOOR_TO_FEN
    fen = round_fen(amount, rule)
    if fen != amount:
        zh, en = ("四舍五入", "rounded half up") if rule.mode == "half_up" else ("舍去", "rounded down")
        unit = yuan_text(Fraction(rule.quantum_fen))
        made.step("rounding", f"{zh}到 {unit} 元", f"{en} to {unit} yuan", fen, rule.source)
    return fen


def round_fen(amount: Fen, rule: Rounding) -> int:
    """An exact amount as whole fen, by a rule."""
    quanta = amount * Fraction(1, rule.quantum_fen)
    whole = (2 * quanta + 1) // 2 if rule.mode == "half_up" else quanta // 1
    return int(whole) * rule.quantum_fen


def _capped(made: Figure, scheme: Scheme, claim: Claim, amount: int) -> int:
    rule = scheme.rounding or _FLOOR_TO_FEN
    limits = []
    if claim.override is not None and not _is_lifted(scheme, claim):
        source = scheme.override.source if scheme.override else scheme.source("")
        zh, en = (
            "一事一议不适用：方案没有规定，或不符合其条件",
            "no cap is lifted: the scheme has no such rule, or not for whom asks",
        )
        made.step("override", zh, en, amount, source)
    for name, room, zh, en, source in _rooms(made, scheme, claim):
        if amount > room:
            amount = round_fen(room, Rounding("truncate", rule.quantum_fen, rule.source))
            limits.append(name)
        made.step(name, zh, en, amount, source)
    made.limits = tuple(limits)
    return amount


def _rooms(made: Figure, scheme: Scheme, claim: Claim) -> list[tuple[str, Fen, str, str, str]]:
    """What each limit still allows, with words for it."""
    rooms = []
    for cap in _caps(scheme, claim):
        limit, used, words = _limit(made, scheme, claim, cap)
        room = max(limit - used, Fraction(0))
        text = f"{yuan_text(limit)}{words}"
        zh = f"上限 {text} 元，已用 {yuan_text(used)}，尚余 {yuan_text(room)}"
        en = f"cap {text} yuan, {yuan_text(used)} used, {yuan_text(room)} left"
        rooms.append((f"cap_{cap.limit}", room, zh, en, cap.source))
    budget = scheme.budget
    committed = claim.used.get("programme.committed_yuan")
    if budget is not None and committed is not None and not budget.over_issue:
        total = budget.round_fen if budget.round_fen is not None else budget.year_fen
        if total is not None:
            room = max(total - committed, Fraction(0))
            zh, en = f"预算尚余 {yuan_text(room)} 元", f"{yuan_text(room)} yuan of the budget are left"
            rooms.append(("budget", room, zh, en, budget.source))
    return rooms


def _caps(scheme: Scheme, claim: Claim) -> list[Cap]:
    """The first row of each limit that holds; a row in another unit than money binds no sum of money."""
    chosen: dict[str, Cap] = {}
    for cap in scheme.caps:
        if cap.unit is None and (cap.when is None or cap.when.test(claim.facts) is True):
            chosen.setdefault(cap.limit, cap)
    return list(chosen.values())


def _limit(made: Figure, scheme: Scheme, claim: Claim, cap: Cap) -> tuple[Fen, Fen, str]:
    """The cap, lifted if it may be, and how much of it is used: the largest of the sums it counts, each on its own."""
    limit, words = Fraction(cap.units), ""
    asked = claim.override
    if asked is not None and _is_lifted(scheme, claim):
        limit, words = max(limit, asked.cap_fen), f"（一事一议：{asked.approved_by}，{asked.reason}）"
    group = _USED_BY.get(cap.limit)
    if group is None:
        return limit, Fraction(0), words
    sums = []
    for counter in cap.counts or _COUNTERS:  # where the text is silent, what leaves less
        name = f"{group}.{counter}_yuan"
        if name in claim.used:
            sums.append(claim.used[name])
        else:
            made.missing.append(name)
    return limit, max(sums, default=Fraction(0)), words


def _is_lifted(scheme: Scheme, claim: Claim) -> bool:
    """Whether the scheme lifts caps case by case for whom claims."""
    rule = scheme.override
    return rule is not None and (rule.when is None or rule.when.test(claim.facts) is True)


def _minimum(made: Figure, scheme: Scheme, amount: int, base: Fen) -> None:
    """A voucher below the minimum is refused, never rounded up; nothing left of a cap, or nothing spent, is no voucher."""
    least = scheme.min_voucher_fen
    if least is None or amount >= least or not base or (amount == 0 and made.limits):
        return
    text = yuan_text(Fraction(least))
    zh, en = f"不足单张最低额 {text} 元", f"less than the smallest voucher, {text} yuan"
    made.refused = Refused("min_voucher", zh, en, scheme.source("thresholds"))


def yuan_text(fen: Fen) -> str:
    """Yuan with two decimals where there are any; an inexact amount rounded down to six decimals."""
    micro = int(fen * 10_000 // 1)
    whole, rest = divmod(micro, 1_000_000)
    if not rest:
        return str(whole)
    decimals = f"{rest:06d}".rstrip("0")
    return f"{whole}.{decimals.ljust(2, '0')}"


def _percent(share: Fraction) -> str:
    percent = share * 100
    if percent.denominator == 1:
        return str(percent.numerator)
    return f"{int(percent)}.{int(percent % 1 * 1_000_000):06d}".rstrip("0")
