"""Why the ledger refused a hold, in the words of vouchers: how much is there, how much is missing, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from ledger.amount import CNY, Asset, format_units
from ledger.errors import DomainError, Kind
from ledger.outcome import RefusedError
from ledger.refusal import Refusal
from ledger.scope import EVERYTHING
from ledger.state import Account, HoldStatus
from ledger.transaction import Transaction
from suanquan.use_cases.presented import refuse_revoked
from suanquan.use_cases.spend_acts import Hold
from voucher.days import minute_of
from voucher.errors import VoucherError
from voucher.hold_view_store import STATES, HoldFilter, load_holds

_OPEN = STATES[HoldStatus.OPEN]


async def in_words_of_vouchers(tx: Transaction, act: Hold, error: RefusedError) -> DomainError:
    """`voucher-revoked`, `voucher-suspended` or `insufficient` with its figures; else what the ledger said."""
    if error.refusal not in {Refusal.ACCOUNT_FROZEN, Refusal.INSUFFICIENT}:
        return error
    account = (await tx.accounts_by_number([act.voucher.account]))[act.voucher.account]
    if error.refusal is Refusal.INSUFFICIENT:
        return await _insufficient(tx, act, account)
    try:
        await refuse_revoked(tx.connection, act.voucher.jti)
    except VoucherError as revoked:
        return revoked
    left = _said(account.available, act.voucher.asset)
    return VoucherError(
        "voucher-suspended",
        f"该券已暂停，其中可用的 {left.zh} 暂不能用。请改用其他券，或请持券单位向方案经办询问何时恢复",
        f"the voucher is suspended, and {left.en} that it has cannot be used now; use another, or have its holder ask the office",
        kind=Kind.NOT_ALLOWED,
    )


async def _insufficient(tx: Transaction, act: Hold, account: Account) -> VoucherError:
    asset, missing = act.voucher.asset, act.shown.units - account.available
    wanted, left, lacks = (_said(units, asset) for units in (act.shown.units, account.available, missing))
    if missing <= 0:
        return _short(
            f"转授给出示人的额度不足本次的 {wanted.zh}。请减少数量，或请转授方另行转授",
            f"what was delegated is less than the {wanted.en} asked for; ask for less, or have more delegated",
        )
    if account.debits_held:
        held, (zh, en) = _said(account.debits_held, asset), await _freed(tx, act.voucher.jti)
        return _short(
            f"该券可用 {left.zh}，另有 {held.zh}正被预占，本次要 {wanted.zh}，差 {lacks.zh}。请{zh}，或减少数量、改用其他券",
            f"{left.en} is available, {held.en} is on hold elsewhere, {wanted.en} was asked for: {lacks.en} is missing; {en}, ask for less, or use another voucher",
        )
    if not account.available:
        used = _said(account.debits_posted, asset)
        return _short(
            f"该券已用完：{used.zh} 已全部使用，本次要 {wanted.zh}。请改用其他券，或在方案开放时重新申领",
            f"the voucher is used up: all of {used.en} was used, {wanted.en} was asked for; use another, or apply again when its scheme is open",
        )
    return _short(
        f"该券可用 {left.zh}，本次要 {wanted.zh}，差 {lacks.zh}。请减少数量，或用另一张券付差额",
        f"{left.en} is available, {wanted.en} was asked for: {lacks.en} is missing; ask for less, or pay the rest with another voucher",
    )


async def _freed(tx: Transaction, jti: str) -> tuple[str, str]:
    """When something that is on hold may come free, as far as it is on disk."""
    found = await load_holds(tx.connection, EVERYTHING, HoldFilter(jti=jti, state=_OPEN))
    ends = [
        part.expires_ns
        for parts in found.values()
        for part in parts
        if part.status == HoldStatus.OPEN and part.expires_ns is not None
    ]
    if not ends:
        return "在预占释放后再试", "ask again when the hold is released"
    at = minute_of(min(ends) // 1_000_000_000)
    return f"在 {at}（上海时间）预占到期后再试", f"ask again after the hold ends at {at} (Shanghai time)"


class _Amount(NamedTuple):
    """Units of an asset as people have them: no more zeros at the end than two decimals need."""

    zh: str
    en: str


def _said(units: int, asset: Asset) -> _Amount:
    whole, _, rest = format_units(units, asset).partition(".")
    figure = f"{int(whole):,}.{rest.rstrip('0').ljust(2, '0')}"
    return _Amount(f"{figure} 元", f"CNY {figure}") if asset == CNY else _Amount(*[f"{figure} {asset.code}"] * 2)


def _short(zh: str, en: str) -> VoucherError:
    return VoucherError("insufficient", zh, en, kind=Kind.INSUFFICIENT)
