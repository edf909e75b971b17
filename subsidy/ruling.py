"""What an office may decide of an outcome: nothing that the rules refuse, nothing above the ceiling, no question unanswered."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ledger.errors import Finding
from subsidy.outcome import FEN_PER_YUAN, Amount, Outcome, Status
from subsidy.policy import AmountKind

TEXT_MAX = 500
YUAN = r"(0|[1-9][0-9]{0,12})(\.[0-9]{1,2})?"
"""A sum of yuan as decimal text."""


class Verdict(enum.Enum):
    """What a decision says."""

    GRANT = "grant"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the office decides: `award_fen` of a grant in money, the reason, and its answers to questions by their id."""

    verdict: Verdict
    reason: str
    award_fen: int | None = None
    answers: Mapping[str, str] = field(default_factory=dict)


def award_of(ruling: Ruling, outcome: Outcome) -> int | None:
    """The sum granted in fen; an exact figure needs not be repeated."""
    exact = outcome.amount.kind is AmountKind.EXACT and ruling.verdict is Verdict.GRANT
    return outcome.amount.fen if exact and ruling.award_fen is None else ruling.award_fen


def check_ruling(ruling: Ruling, outcome: Outcome) -> list[Finding]:
    """Why a ruling cannot stand beside what the rules say; nothing where it can."""
    findings = list(_check_words(ruling, outcome))
    if ruling.verdict is Verdict.REFUSE:
        if ruling.award_fen is not None:
            findings.append(
                Finding("award-unexpected", "不予支持的决定不写金额", "a refusal grants no sum", "/award_yuan")
            )
        return findings
    if outcome.eligible is not True:
        findings.append(_not_eligible(outcome))
    elif outcome.status is not Status.ELIGIBLE and outcome.amount.fen is None:
        missing = "、".join(outcome.missing)
        findings.append(Finding("facts-missing", f"尚缺：{missing}", f"still missing: {missing}", "/facts"))
    else:
        findings.extend(_check_award(award_of(ruling, outcome), outcome.amount))
    return findings


def _check_words(ruling: Ruling, outcome: Outcome) -> Iterator[Finding]:
    if not 0 < len(ruling.reason.strip()) <= TEXT_MAX:
        yield Finding(
            "reason-missing",
            f"须写明理由，至多 {TEXT_MAX} 字",
            f"give a reason of 1 to {TEXT_MAX} characters",
            "/reason",
        )
    asked = {question.id: question for question in outcome.questions if question.person}
    for name, question in asked.items():
        if not 0 < len(ruling.answers.get(name, "").strip()) <= TEXT_MAX:
            yield Finding(
                "question-open",
                f"须由{question.decided_by}答复：{question.zh}",
                f"{question.decided_by} must answer: {question.en}",
                f"/answers/{name}",
            )
    for name in ruling.answers.keys() - asked.keys():
        yield Finding("answer-unasked", f"没有问题“{name}”", f"there is no question {name}", f"/answers/{name}")


def _not_eligible(outcome: Outcome) -> Finding:
    reasons = ", ".join(outcome.reasons)
    return Finding(
        "not-eligible",
        f"规则未支持该申请（{outcome.status.value}：{reasons}），不能准予",
        f"the rules do not support it ({outcome.status.value}: {reasons}); it cannot be granted",
        "/verdict",
    )


def _check_award(fen: int | None, amount: Amount) -> Iterator[Finding]:
    if amount.kind in (AmountKind.NON_MONETARY, AmountKind.NONE):
        if fen is not None:
            yield Finding("award-unexpected", "该条款不给金额", "this clause grants no sum", "/award_yuan")
        return
    if fen is None or fen < 0:
        yield Finding("award-missing", "须写明准予金额", "name the sum that is granted", "/award_yuan")
        return
    low, high = _bounds(amount)
    if fen < low or (high is not None and fen > high):
        limit = "以上" if high is None else f"至 {_yuan(high)}"
        yield Finding(
            "award-out-of-bounds",
            f"准予金额应为 {_yuan(low)} {limit} 元，而非 {_yuan(fen)} 元",
            f"the sum must be {_yuan(low)} to {'any' if high is None else _yuan(high)} yuan, not {_yuan(fen)}",
            "/award_yuan",
        )


def _bounds(amount: Amount) -> tuple[int, int | None]:
    """Least and most in fen; a figure of the rules is exact or a ceiling, without one the cap is all there is."""
    if amount.range_yuan is not None:
        low, high = amount.range_yuan
        return low * FEN_PER_YUAN, high * FEN_PER_YUAN
    if amount.fen is not None:
        return (amount.fen if amount.kind is AmountKind.EXACT else 0), amount.fen
    return 0, None if amount.cap_yuan is None else amount.cap_yuan * FEN_PER_YUAN


def fen_of(yuan: str) -> int | None:
    """Fen of a sum of yuan as decimal text, None where it is none."""
    if not re.fullmatch(YUAN, yuan):
        return None
    whole, _, part = yuan.partition(".")
    return int(whole) * FEN_PER_YUAN + int(part.ljust(2, "0"))


def yuan_of(fen: int) -> str:
    """`2000000.00`: a sum as decimal text of yuan."""
    return f"{fen // FEN_PER_YUAN}.{fen % FEN_PER_YUAN:02}"


def _yuan(fen: int) -> str:
    return f"{fen // FEN_PER_YUAN:,}.{fen % FEN_PER_YUAN:02}"
