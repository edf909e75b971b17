"""What became of a chain of events, and how a refusal by the state machine is told to callers."""

from __future__ import annotations

from typing import NamedTuple

from ledger.entry import Entry, Event
from ledger.errors import Kind, LedgerError
from ledger.refusal import Refusal

_REFUSALS = {
    Refusal.INSUFFICIENT: (Kind.INSUFFICIENT, "余额不足", "insufficient balance"),
    Refusal.OVER_CEILING: (Kind.INSUFFICIENT, "超出上限", "beyond the ceiling of an account"),
    Refusal.HOLD_UNKNOWN: (Kind.NOT_FOUND, "没有这笔冻结", "no such hold"),
    Refusal.HOLD_CLOSED: (Kind.CONFLICT, "冻结已结束", "the hold is closed"),
    Refusal.HOLD_EXPIRED: (Kind.CONFLICT, "冻结已到期", "the hold has expired"),
    Refusal.HOLD_EXCEEDED: (Kind.INSUFFICIENT, "超出这笔冻结所余", "more than the hold has left"),
    Refusal.ORIGINAL_UNKNOWN: (Kind.NOT_FOUND, "没有这笔可冲正的分录", "no such entry to take back or erase"),
    Refusal.REVERSAL_EXCEEDED: (Kind.CONFLICT, "超出原分录尚未冲正的部分", "more than is left of the original"),
    Refusal.PERIOD_CLOSED: (Kind.CONFLICT, "会计期间已结账", "the period is closed"),
    Refusal.PERIOD_NOT_OVER: (Kind.CONFLICT, "期间尚未结束，不能结账", "the period is not over"),
    Refusal.ACCOUNT_CLOSED: (Kind.CONFLICT, "账户已销户", "the account is closed"),
    Refusal.ACCOUNT_LEGAL_HOLD: (Kind.NOT_ALLOWED, "账户被司法冻结", "the account is under a legal hold"),
    Refusal.ACCOUNT_FROZEN: (Kind.NOT_ALLOWED, "账户已冻结", "the account is frozen"),
    Refusal.ACCOUNT_NOT_EMPTY: (Kind.CONFLICT, "账户仍有余额或冻结，不能销户", "the account is not empty"),
    Refusal.ACCOUNT_UNKNOWN: (Kind.NOT_FOUND, "没有这个账户", "no such account"),
}


class RefusedError(LedgerError):
    """The state machine refused an event; its id is burnt unless the event itself was at fault."""

    def __init__(self, event: Event, refusal: Refusal) -> None:
        kind, zh, en = _REFUSALS.get(
            refusal, (Kind.INVALID, f"账务请求不合规（{refusal.value}）", f"refused: {refusal.value}")
        )
        super().__init__(refusal.value, zh, en, kind=kind)
        self.event = event
        self.refusal = refusal


class Outcome(NamedTuple):
    """What became of one chain.

    `code` is `created`; `exists` (all of it recorded before: `entries` are the original ones); or why nothing of it was
    recorded: `event-conflict` (the id was used for another request), `event-failed` (the id was refused before and stays
    refused, `detail` says why), a refusal (see `Refusal`), or `chain-undone` (it was fine, but all-or-nothing failed
    elsewhere). `at` is the event at fault in the chain.
    """

    code: str
    entries: tuple[Entry, ...] = ()
    at: int = 0
    detail: str = ""
    error: LedgerError | None = None

    def entries_or_raise(self) -> list[Entry]:
        """The entries of a recorded chain.

        Raises:
            LedgerError: why it was not recorded.

        """
        if self.error is not None:
            raise self.error
        return list(self.entries)


def repeated(earlier: Entry, event: Event, at: int) -> Entry | Outcome:
    """The answer to an id that was used: the entry again, or a conflict where the request is another."""
    return earlier._replace(replayed=True) if earlier.digest == event.digest else _conflict(at)


def _conflict(at: int) -> Outcome:
    zh, en = "同一事件编号已用于内容不同的请求", "this event id was already used for a different request"
    error = LedgerError("event-conflict", zh, en, kind=Kind.CONFLICT)
    return Outcome(error.code, at=at, error=error)


def burnt(failure: tuple[bytes, str], event: Event, at: int) -> Outcome:
    """The answer to an id that was refused before."""
    digest, code = failure
    if digest != event.digest:
        return _conflict(at)
    error = LedgerError(
        "event-failed",
        f"该请求此前已被拒绝（{code}），请用新的编号重新提交",
        f"this request was refused before ({code}); submit it again under a new id",
        kind=Kind.CONFLICT,
    )
    return Outcome(error.code, at=at, detail=code, error=error)
