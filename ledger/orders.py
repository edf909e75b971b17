"""Events by which officers correct, restrict and close: what each commits to, in one place.

The payload begins with a line for machines (where the leaf does not say it all) and goes on with the reason, which names the
authority (文号). Reasons are private: a leaf carries their commitment alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ledger.entry import EntryKind, Event, Leg, Limits, Restriction, credit


class Act(NamedTuple):
    """What every such event says of itself: its idempotency key, the digest of the request, a fresh salt, the reason."""

    event_id: bytes
    digest: bytes
    salt: bytes
    reason: str
    actor: bytes = bytes(8)

    def event(self, kind: EntryKind, first_line: str = "") -> Event:
        """An event of this act."""
        return Event(
            kind, self.event_id, self.digest, actor=self.actor, salt=self.salt, payload=f"{first_line}\n{self.reason}".encode()
        )  # fmt: skip


def limit(act: Act, account: int, limits: Limits) -> Event:
    """Change an account's limits; they must hold now."""
    return act.event(EntryKind.LIMIT, str(limits))._replace(legs=(credit(account, 0),), limits=limits)


def restrict(act: Act, account: int, restriction: Restriction) -> Event:
    """Freeze (冻结), put under legal hold (司法冻结), close (销户) or, with no restriction, free an account."""
    return act.event(EntryKind.STATUS)._replace(legs=(credit(account, 0),), restriction=int(restriction))


def reverse(act: Act, seq: int, legs: Sequence[Leg] = ()) -> Event:
    """Take back (冲正) a posting, in the open period: all that is left of it, or these legs."""
    return act.event(EntryKind.REVERSE)._replace(legs=tuple(legs), ref_seq=seq)


def close_period(act: Act, until_ns: int) -> Event:
    """End (结账) every period before a moment: nothing more may be dated before it."""
    return act.event(EntryKind.CLOSE_PERIOD)._replace(effective_ns=until_ns)


def erase(act: Act, seq: int) -> Event:
    """Drop (删除) the payload of an entry, and the account's name if it opened one; the commitment stays in the tree."""
    return act.event(EntryKind.ERASE)._replace(ref_seq=seq)


def mark(act: Act, account: int) -> Event:
    """A line without an amount that closes a statement: its chain and totals cover everything before."""
    return act.event(EntryKind.MARK)._replace(legs=(credit(account, 0),))
