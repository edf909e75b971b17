"""What acts of settlement move: the pure life of a support decides whether, the ledger decides whether there is enough.

The ledger's accounts are the only truth; a life is built from their balances for each act, asked, and thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.entry import Leg, credit, debit
from ledger.transaction import Transaction
from voucher.lifecycle import Action, Bucket, Life, Phase, act
from voucher.settlement.accounts import Ways

_STAGES = (Bucket.CLAIMED, Bucket.PAYABLE, Bucket.PAID, Bucket.RECOVERED)
OFFICE, FINANCE, PROVIDER, BENEFICIARY = "office", "finance", "provider", "beneficiary"
"""Who takes steps in `voucher.lifecycle.STEPS`."""


async def life_of(
    tx: Transaction, ways: Ways, mode: str, source: int, *, phase: Phase = Phase.OPEN, side: str | None = None
) -> Life:
    """The life that the ledger tells of a scheme's claims by one payee; `source` is what is in the bucket they come from."""
    accounts = await tx.open(ways.openings)
    units = {bucket: accounts[ways.name(bucket)].balance for bucket in _STAGES}
    if ways.bucket is not Bucket.BUDGET:
        units[ways.bucket] = source
    units[Bucket.BUDGET] = -sum(units.values())
    return Life(mode, phase, units, side=side)


async def move(tx: Transaction, ways: Ways, life: Life, action: Action, units: int, actor: str) -> tuple[Leg, ...]:
    """Legs of a step that the claim mode allows.

    Raises:
        VoucherError: whatever `voucher.lifecycle.act` refuses.

    """
    _, movement = act(life, action, units, actor=actor)
    names = ways.name(movement.source), ways.name(movement.target)
    accounts = await tx.accounts(names)
    return debit(accounts[names[0]].number, units), credit(accounts[names[1]].number, units)


def source_bucket(mode: str) -> Bucket:
    """The bucket that claims of a mode come from."""
    return _SOURCES[mode]


_SOURCES: Mapping[str, Bucket] = {
    "issue_then_offset": Bucket.REDEEMED,
    "issue_then_reimburse": Bucket.AVAILABLE,
    "post_use_direct": Bucket.BUDGET,
    "auto_enjoy": Bucket.BUDGET,
    "target_responsibility": Bucket.AVAILABLE,
}
