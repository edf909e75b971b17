"""What a notice is, who it is for, and when a delivery that failed is tried again."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

OFFICE = "office"
"""Audience of the authority's own people."""
RETRIES_S = (5, 30, 120, 600, 3_600, 21_600, 86_400)
"""Waits before each further try: about 31 hours in all, after which a delivery is dead and stays visible."""
ROBOT_PER_MINUTE = 18
"""企业微信 and 钉钉 take 20 messages a minute from one robot, and 钉钉 blocks it for ten minutes beyond that."""
DIGEST_MAX = 30
"""Notices that one message of a robot or one mail holds."""


class Kind(enum.Enum):
    """What happened."""

    VOUCHER_USED = "voucher.used"
    VOUCHER_EXPIRING = "voucher.expiring"
    VOUCHER_SUSPENDED = "voucher.suspended"
    VOUCHER_RESUMED = "voucher.resumed"
    VOUCHER_REVOKED = "voucher.revoked"
    APPLICATION_STEP = "application.step"
    APPLICATION_SUBMITTED = "application.submitted"
    DISPUTE_STEP = "dispute.step"
    VOUCHER_ISSUED = "voucher.issued"
    APPLICATION_OBJECTION = "application.objection"
    APPLICATION_NOTICE_ENDED = "application.notice_ended"
    DECISION_MADE = "decision.made"
    CLAIM_STEP = "claim.step"
    RECEIPT_DISPUTE = "receipt.dispute"
    VOUCHER_RECLAIM = "voucher.reclaim"
    USAGE_AMENDED = "usage.amended"
    SETTLEMENT_STEP = "settlement.step"
    PAYEE_WAITING = "payee.waiting"
    STATEMENT_READY = "statement.ready"
    QUARANTINE_NEW = "quarantine.new"
    QUARANTINE_DECIDED = "quarantine.decided"
    AGENT_KEY = "agent.key"
    GAP_FOUND = "gap.found"
    AGENT_SILENT = "agent.silent"
    FINDING_RAISED = "finding.raised"
    BUDGET_LOW = "budget.low"
    DOCUMENT_EXPIRING = "document.expiring"
    CHANNEL_TEST = "channel.test"


class Way(enum.Enum):
    """How a channel delivers."""

    WEBHOOK = "webhook"
    WECOM = "wecom"
    DINGTALK = "dingtalk"
    EMAIL = "email"

    @property
    def digests(self) -> bool:
        """Whether several notices go in one message."""
        return self is not Way.WEBHOOK


class State(enum.Enum):
    """What became of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that an audience is told: `office`, `holder:CODE` or `centre:ID`. `subject` names the object it is about."""

    kind: Kind
    audience: str
    subject: str
    zh: str
    en: str
    data: dict[str, Any] = field(default_factory=dict)


def of_holder(code: str) -> str:
    """Audience of a company."""
    return f"holder:{code}"


def of_centre(centre: str) -> str:
    """Audience of a centre."""
    return f"centre:{centre}"


def next_try_us(tries: int, now_us: int) -> int | None:
    """When to try again after so many failed tries; None once it is over."""
    return now_us + RETRIES_S[tries - 1] * 1_000_000 if tries <= len(RETRIES_S) else None
