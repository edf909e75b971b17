"""Frozen values of the journal: what callers ask for (events) and what the journal records (entries)."""

from __future__ import annotations

import enum
import hmac
from typing import NamedTuple

from ledger.amount import BASE_ASSETS, Asset

NO_SEQ = 2**64 - 1
"""Leaf value of an absent reference or of the first leg of an account."""

LEGS_MAX = 64
HOLD_LINES_MAX = LEGS_MAX // 4
"""A capture may need four legs a line: what is freed and what is posted."""
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
    REVERSE = 8
    LIMIT = 9
    STATUS = 10
    CLOSE_PERIOD = 11
    ASSET = 12
    ERASE = 13
    MARK = 14


class Side(enum.IntEnum):
    """Debit takes from an account, credit gives to it."""

    DEBIT = 0
    CREDIT = 1


class Layer(enum.IntEnum):
    """Posted is final, held is reserved until captured, released or expired."""

    POSTED = 0
    HELD = 1


class Restriction(enum.IntFlag):
    """What an account may not do. The bits stand in the flags of STATUS leaves and never change.

    FROZEN (冻结) stops new debits and holds; what was held before may still be captured. LEGAL_HOLD (司法冻结) stops
    every debit, captures included. CLOSED (销户) is for ever and only for an account that has nothing.
    """

    NONE = 0
    FROZEN = 1
    LEGAL_HOLD = 2
    CLOSED = 4


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


class Limits(NamedTuple):
    """Bounds of an account that count its open holds; None leaves a side unbounded.

    `floor` bounds what is available (credits − debits − held debits) from below, `ceiling` what may come to be there
    (credits + held credits − debits) from above.
    """

    floor: int | None = None
    ceiling: int | None = None

    def __str__(self) -> str:
        floor = "" if self.floor is None else str(self.floor)
        return floor if self.ceiling is None else f"{floor}..{self.ceiling}"


UNLIMITED = Limits()


def parse_limits(text: str) -> Limits:
    """Limits from their text, as OPEN and LIMIT entries commit to them.

    Raises:
        ValueError: not such a text.

    """
    floor, dots, ceiling = text.partition("..")
    limits = Limits(int(floor) if floor else None, int(ceiling) if dots else None)
    if str(limits) != text:
        raise ValueError(text)
    return limits


def genesis_payload(origin: str) -> bytes:
    """What the first entry commits to: the format, the log's name, the assets and their scales."""
    assets = ",".join(f"{asset.code}={asset.number}/{asset.scale}" for asset in BASE_ASSETS)
    return f"CVL1\n{origin}\n{assets}\n".encode()


def opening_payload(name: str, limits: Limits) -> bytes:
    """What an OPEN entry commits to, so that neither name nor limits can change unseen."""
    return f"{limits}\n{name}".encode()


def asset_payload(asset: Asset) -> bytes:
    """What an ASSET entry commits to."""
    return f"{asset.code}={asset.number}/{asset.scale}".encode()


def public_id_of(name: str, pseudonym_key: bytes) -> bytes:
    """What an account is called in leaves: only who has the key can tell which name it stands for."""
    return hmac.digest(pseudonym_key, name.encode(), "sha256")[:16]


def opening_digest(name: str, pseudonym_key: bytes) -> bytes:
    """Digest of the request to open an account; the id of the entry begins it, so an account is opened once."""
    return hmac.digest(pseudonym_key, b"open\x00" + name.encode(), "sha256")


class Opening(NamedTuple):
    """The account an OPEN event creates."""

    name: str
    public_id: bytes
    asset: Asset
    limits: Limits = UNLIMITED


class Event(NamedTuple):
    """One thing to record, complete before the writer sees it.

    `event_id` (16 bytes) is the idempotency key, kept for ever; `digest` is the SHA-256 of the request it came from, so
    that the same id with another request is told apart. `ref_seq` names the hold that a capture, release or expiry is
    about, the entry that a reversal takes back, or the one whose payload is erased. `payload` is public only as a salted
    commitment. `late` lets a posting that belongs to a closed period land in the open one, with a reference to the close.
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
    limits: Limits = UNLIMITED
    restriction: int = 0
    expires_ns: int | None = None
    final: bool = False
    late: bool = False
    asset: Asset | None = None


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
    flags: int = 0
    leaf: bytes = b""
    replayed: bool = False
