"""What a centre may ask of a voucher, as values: verified before the ledger is asked."""

from __future__ import annotations

from typing import NamedTuple

from ledger.amount import Asset
from ledger.errors import DomainError
from voucher.presentation import Presentation
from voucher.scheme import Offline


class Spendable(NamedTuple):
    """What never changes of a voucher that was issued here and logged; `is_held` where its claim mode knows holds."""

    jti: str
    scheme: str
    account: int
    asset: Asset
    from_us: int
    until_us: int
    runs_on: bool
    multi_use: bool
    is_held: bool = True
    signatures: tuple[str, ...] = ()
    offline: Offline | None = None
    units: int = 0


class Counter(NamedTuple):
    """A delegation that a hold is drawn through: its id, and what may be drawn through it altogether."""

    id: str
    units: int


class Hold(NamedTuple):
    """Reserve what the holder, or who he delegated to, signed for; `hold` is that which is raised, if any. A lease is spent offline."""

    voucher: Spendable
    shown: Presentation
    proof: str
    life_s: int
    hold: str | None = None
    counters: tuple[Counter, ...] = ()
    is_lease: bool = False


class Capture(NamedTuple):
    """Debit a part of a hold; `final` gives the rest back."""

    hold: str
    amount: str
    final: bool


class Release(NamedTuple):
    """Give back what a hold has left."""

    hold: str


class Report(NamedTuple):
    """What a centre spent of a lease while it was cut off; `final` gives the rest back."""

    hold: str
    spends: tuple[tuple[int, str, int, str], ...]
    """Number, decimal amount, UTC epoch seconds, reference."""
    final: bool


class Faulty(NamedTuple):
    """A request that cannot be done: it is answered so, unless it was done before."""

    error: DomainError


Act = Hold | Capture | Release | Report | Faulty
