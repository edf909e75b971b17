"""At the counter of a centre: whether a voucher that is shown is good here, for how much, and why it is not.

The hold itself is tried out and taken back, so that what is said is what the hold would be answered. Nobody has signed for
anything yet: only its holder's proof holds anything, whoever sits at the centre's page.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from ledger.amount import Asset, parse_units
from ledger.ed25519 import PublicKey
from ledger.journal import Journal
from ledger.outcome import RefusedError
from ledger.transaction import Transaction
from suanquan.conduct import Conduct, conducted
from suanquan.use_cases.admission import Gate
from suanquan.use_cases.ingest import Request
from suanquan.use_cases.refused_hold import in_words_of_vouchers
from suanquan.use_cases.spend_acts import Act, Hold, Spendable
from suanquan.use_cases.spending import Turn, check_terms, record_hold
from suanquan.use_cases.till import Till
from voucher.errors import VoucherError
from voucher.hold_store import Seen
from voucher.keys import KeyRegistry
from voucher.presentation import Presentation
from voucher.spending import LIFE_S

NOBODY = PublicKey(b"\x58" + 31 * b"\x66")
"""The base point of the curve, whose private half is one: what is only tried out is signed by nobody."""
KEPT_US = 60_000_000
"""How long a request of a page is remembered besides its form's own mark."""


class Usable(NamedTuple):
    """A voucher that is good at a centre now, and what of it may be held; `bound` to a key of its holder, who must sign."""

    jti: str
    scheme: str
    asset: Asset
    available: int
    held: int
    used: int
    until_us: int
    bound: bool


async def usable(
    gate: Gate, journal: Journal, keys: KeyRegistry, text: str, *, centre: str, amount: str, now_us: int
) -> Usable:
    """What a voucher has for a centre, if so much of it (a decimal, or empty: whatever there is) may be held now.

    Raises:
        DomainError: why it may not, as a hold is refused; nothing is recorded.

    """
    said, voucher = await gate.look(text, keys, centre=centre, now_s=now_us // 1_000_000)

    units = parse_units(amount, voucher.asset) if amount else 0
    if amount and units <= 0:
        raise VoucherError("amount-not-positive", "数量须大于零", "the amount must be more than zero")

    async def try_out(tx: Transaction) -> Usable:
        account = (await tx.accounts_by_number([voucher.account]))[voucher.account]
        found = Usable(
            voucher.jti, voucher.scheme, voucher.asset, account.available, account.debits_held, account.debits_posted,
            voucher.until_us, said.holder_jkt is not None,
        )  # fmt: skip
        await _hold(tx, voucher, centre, units or account.available or 10**voucher.asset.scale)
        return found

    with conducted(Conduct(rehearsal=True)):
        return await journal.transact(try_out)


async def _hold(tx: Transaction, voucher: Spendable, centre: str, units: int) -> None:
    """Hold units of a voucher as if its holder had signed for them."""
    shown = Presentation(voucher.jti, NOBODY, centre, voucher.asset, units, "-", "", 0)
    act = Hold(voucher, shown, "", LIFE_S)
    check_terms(Turn(tx, Seen(set(), {}, {})), act)
    event_id = (tx.now_ns // 1_000_000).to_bytes(6) + tx.entropy(10)
    request = request_of("", centre, secrets.token_hex(16), b"")
    try:
        await record_hold(tx, request, act, event_id.hex(), event_id, tx.now_ns // 1000 + LIFE_S * 1_000_000)
    except RefusedError as error:
        raise await in_words_of_vouchers(tx, act, error) from error


def request_of(person: str, centre: str, key: str, content: bytes, now_us: int = 0) -> Request:
    """What a person of a centre asks on a page, in the form in which the till takes what agents ask."""
    return Request(
        centre, f"person {person}", secrets.token_urlsafe(24), now_us + KEPT_US, key, sha256(content).digest()
    )


async def ask(till: Till, request: Request, act: Act) -> dict[str, Any]:
    """The till's answer.

    Raises:
        DomainError: as `Till.ask`.

    """
    found: dict[str, Any] = msgspec.json.decode(await till.ask_alone(request, act))
    return found
