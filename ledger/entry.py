"""Frozen values of the journal: what callers ask for (events) and what the journal records (entries)."""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass
from typing import NamedTuple

from ledger.amount import ASSETS, Asset

NO_SEQ = 2**64 - 1
"""Leaf value of an absent reference or of the first leg of an account."""

LEGS_MAX = 64
ZERO32 = bytes(32)


class EntryKind(enum.IntEnum):
    """What an entry does. Numbers stand in leaves and never change."""

    GENESIS = 0
    OPEN = 1
    NOTE = 2
    POST = 3
    HOLD = 4
    CAPTURE = 5
    RELEASE = 6
    EXPIRE = 7


class Side(enum.IntEnum):
    """Debit takes from an account, credit gives to it."""

    DEBIT = 0
    CREDIT = 1


class Layer(enum.IntEnum):
    """Posted is final, held is reserved until captured, released or expired."""

    POSTED = 0
    HELD = 1


class Leg(NamedTuple):
    """One line of a posting as the caller gives it: account number, side, positive units of the account's asset."""

    account: int
    side: int
    amount: int


def debit(account: int, amount: int) -> Leg:
    """Take `amount` units from `account`."""
    return Leg(account, Side.DEBIT, amount)


def credit(account: int, amount: int) -> Leg:
    """Give `amount` units to `account`."""
    return Leg(account, Side.CREDIT, amount)


class PostedLeg(NamedTuple):
    """A leg as recorded: the public account id and the account's totals after it, which make statements checkable."""

    account: int
    public_id: bytes
    asset: int
    side: int
    layer: int
    amount: int
    prev_seq: int
    debits_posted: int
    credits_posted: int
    debits_held: int
    credits_held: int


def genesis_payload(origin: str) -> bytes:
    """What the first entry commits to: the format, the log's name, the assets and their scales."""
    assets = ",".join(f"{asset.code}={asset.number}/{asset.scale}" for asset in ASSETS.values())
    return f"CVL1\n{origin}\n{assets}\n".encode()


def opening_payload(name: str, floor: int | None) -> bytes:
    """What an OPEN entry commits to, so that neither name nor floor can change unseen."""
    return f"{'' if floor is None else floor}\n{name}".encode()


def public_id_of(name: str, pseudonym_key: bytes) -> bytes:
    """What an account is called in leaves: only who has the key can tell which name it stands for."""
    return hmac.digest(pseudonym_key, name.encode(), "sha256")[:16]


@dataclass(frozen=True, slots=True)
class Opening:
    """The account an OPEN event creates. `floor` bounds posted minus held from below, None leaves it unbounded."""

    name: str
    public_id: bytes
    asset: Asset
    floor: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to record, complete before the writer sees it.

    `event_id` (16 bytes) is the idempotency key, kept for ever; `digest` is the SHA-256 of the request it came from, so
    that the same id with another request is told apart. `ref_seq` names the hold that a capture, release or expiry is
    about. `payload` is public only as a salted commitment.
    """

    kind: EntryKind
    event_id: bytes
    digest: bytes
    legs: tuple[Leg, ...] = ()
    effective_ns: int = 0
    ref_seq: int = NO_SEQ
    ruleset: bytes = ZERO32
    actor: bytes = bytes(8)
    salt: bytes = b""
    payload: bytes = b""
    opening: Opening | None = None
    expires_ns: int | None = None
    final: bool = False

    def __post_init__(self) -> None:
        # A leaf has room for exactly these lengths: a longer id would be cut, and two events could look alike.
        assert len(self.event_id) == 16 and len(self.digest) == len(self.ruleset) == 32 and len(self.actor) == 8  # noqa: PT018


class Entry(NamedTuple):
    """One recorded event. `replayed` marks the answer to a repeated event id."""

    seq: int
    kind: int
    event_id: bytes
    digest: bytes
    recorded_ns: int
    effective_ns: int
    ref_seq: int
    ruleset: bytes
    actor: bytes
    legs: tuple[PostedLeg, ...]
    commitment: bytes
    leaf: bytes = b""
    replayed: bool = False
