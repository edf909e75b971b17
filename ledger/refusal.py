"""Why the ledger refuses an event, as one list in order of precedence."""

from __future__ import annotations

import enum


class Refusal(enum.Enum):
    """Why an event changes nothing, in order of precedence."""

    MALFORMED = "event-malformed"
    PERIOD_CLOSED = "period-closed"
    HOLD_UNKNOWN = "hold-unknown"
    HOLD_CLOSED = "hold-closed"
    HOLD_EXPIRED = "hold-expired"
    HOLD_NOT_DUE = "hold-not-due"
    ORIGINAL_UNKNOWN = "original-unknown"
    PERIOD_NOT_OVER = "period-not-over"
    ACCOUNT_EXISTS = "account-exists"
    ASSET_EXISTS = "asset-exists"
    ACCOUNT_UNKNOWN = "account-unknown"
    LEGS_COUNT = "legs-count"
    AMOUNT_RANGE = "amount-range"
    UNBALANCED = "unbalanced"
    ACCOUNT_CLOSED = "account-closed"
    ACCOUNT_LEGAL_HOLD = "account-legal-hold"
    ACCOUNT_FROZEN = "account-frozen"
    ACCOUNT_NOT_EMPTY = "account-not-empty"
    HOLD_EXCEEDED = "hold-exceeded"
    REVERSAL_EXCEEDED = "reversal-exceeded"
    INSUFFICIENT = "insufficient"
    OVER_CEILING = "over-ceiling"
    TOTAL_RANGE = "total-range"

    @property
    def is_of_form(self) -> bool:
        """Whether the event itself is at fault, whatever the state: its id is not burnt, and may be used when corrected."""
        return self in OF_FORM


OF_FORM = {Refusal.MALFORMED, Refusal.LEGS_COUNT, Refusal.AMOUNT_RANGE, Refusal.UNBALANCED}
