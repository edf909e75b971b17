"""Claims that vouchers and the tokens derived from them have in common: strict readers, one form for each value.

A reader gives the value or raises `voucher-claims` with the JSON pointer of what is missing, unknown or not of its form.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ledger import base64url
from ledger.amount import CNY, COMPUTE, Asset, format_units, parse_units
from ledger.errors import Finding, Kind, LedgerError
from voucher.errors import VoucherError
from voucher.holder import check_uscc
from voucher.scheme import ACTIONS, ID

LEEWAY_S = 60
"""How far two honest clocks may differ."""
CENTRE_URN = "urn:centre:"
USCC_URN = "urn:uscc:"
SECONDS_MAX = 253_402_300_799
"""The last second of the year 9999, beyond which calendars end."""

JTI = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
URI = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,120}")
NONCE = re.compile(r"[A-Za-z0-9_-]{16,128}")
SCHEME = re.compile(ID)
CENTRE = re.compile(CENTRE_URN + ID)
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?")
_THUMBPRINT = re.compile("[A-Za-z0-9_-]{43}")
_HOLDER = re.compile(USCC_URN + "[0-9A-Z]{18}")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token lets its holder spend, and where: one object of `authorization_details` (RFC 9396).

    `centres` is None where every centre of the programme takes it; `units` counts `asset`.
    """

    scheme: str
    asset: Asset
    units: int
    centres: tuple[str, ...] | None
    actions: tuple[str, ...]

    def to_claim(self) -> list[dict[str, Any]]:
        """The claim `authorization_details`."""
        amount = decimal_claim(self.units, self.asset)
        if self.asset == CNY:
            value = {"face": amount, "cur": "CNY"}
        else:
            value = {"unit": self.asset.code, "precision": "FP16", "qty": amount}
        centres = ["*"] if self.centres is None else [CENTRE_URN + centre for centre in self.centres]
        return [
            {
                "type": "compute_voucher",
                "scheme": self.scheme,
                "locations": centres,
                "actions": list(self.actions),
                **value,
            }
        ]


def grant(value: object) -> Grant:
    """Grant of the claim `authorization_details`, which holds exactly one."""
    if not isinstance(value, list) or len(value) != 1:
        raise fault("/authorization_details", "应恰为一个对象", "must be one object")
    where = "/authorization_details/0"
    detail, asset, units = _value(value[0], where)
    return Grant(
        scheme=text(detail["scheme"], SCHEME, f"{where}/scheme"),
        asset=asset,
        units=units,
        centres=_centres(detail["locations"], f"{where}/locations"),
        actions=_actions(detail["actions"], f"{where}/actions"),
    )


def decimal_claim(units: int, asset: Asset) -> str:
    """Amount as it stands in a claim: the shortest decimal, at most 6 decimals.

    Raises:
        VoucherError: `amount-precision`, finer than a claim can say.

    """
    shown = format_units(units, asset).rstrip("0").rstrip(".")
    if not _DECIMAL.fullmatch(shown):
        raise VoucherError(
            "amount-precision",
            f"金额 {shown} 在凭证中至多 15 位整数、6 位小数",
            f"a voucher's amount has at most 15 digits and 6 decimals, not {shown}",
        )
    return shown


def units_claim(value: object, asset: Asset, where: str) -> int:
    """Units of a positive decimal string."""
    shown = text(value, _DECIMAL, where)
    try:
        units = parse_units(shown, asset)
    except LedgerError as error:
        raise fault(where, error.zh, error.en) from error
    if units == 0:
        raise fault(where, "应大于零", "must be more than zero")
    return units


def fault(where: str, zh: str, en: str) -> VoucherError:
    """The refusal of the claim at a JSON pointer."""
    return VoucherError(
        "voucher-claims",
        f"算力券的声明 {where or '/'} {zh}",
        f"the voucher's claim {where or '/'} {en}",
        kind=Kind.PROOF,
        findings=[Finding("voucher-claims", zh, en, where)],
    )


def members(value: object, names: Collection[str], where: str, optional: Collection[str] = ()) -> Mapping[str, Any]:
    """An object with all of `names` and no others but the optional ones."""
    if not isinstance(value, Mapping) or not set(names) <= value.keys() <= {*names, *optional}:
        expected = ", ".join(sorted(names))
        raise fault(where, f"应恰含 {expected}", f"must hold exactly {expected}")
    return value


def text(value: object, pattern: re.Pattern[str], where: str) -> str:
    """Text that matches as a whole."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise fault(where, "应为规定格式的文字", "must be text of its form")
    return value


def equal(value: object, expected: str, where: str) -> None:
    """Refuse what is not the expected text."""
    if value != expected:
        raise fault(where, f"应为 {expected}", f"must be {expected}")


def instant(value: object, where: str) -> int:
    """Whole UTC epoch seconds up to the year 9999."""
    return number(value, SECONDS_MAX, where)


def number(value: object, most: int, where: str) -> int:
    """A whole number from 0 to `most`; true is none."""
    if type(value) is not int or not 0 <= value <= most:
        raise fault(where, f"应为 0 至 {most} 的整数", f"must be a whole number from 0 to {most}")
    return value


def holder(value: object) -> str:
    """USCC of the claim `sub`."""
    code = text(value, _HOLDER, "/sub").removeprefix(USCC_URN)
    try:
        return check_uscc(code)
    except VoucherError as error:
        raise fault("/sub", f"不合规：{error.zh}", f"is invalid: {error.en}") from error


def confirmation(value: object) -> str:
    """Thumbprint of the claim `cnf` = {jkt} (RFC 9449 §6.1)."""
    return thumbprint(members(value, {"jkt"}, "/cnf")["jkt"], "/cnf/jkt")


def thumbprint(value: object, where: str) -> str:
    """SHA-256 in canonical base64url: of a key, or of signed bytes."""
    shown = text(value, _THUMBPRINT, where)
    try:
        base64url.decode(shown)
    except ValueError as error:
        raise fault(where, "应为规范的 base64url", "must be canonical base64url") from error
    return shown


def _value(detail: object, where: str) -> tuple[Mapping[str, Any], Asset, int]:
    """Check members and amount of a grant in money (face, cur) or in compute (unit, precision, qty)."""
    in_money = isinstance(detail, Mapping) and "cur" in detail
    asset, name = (CNY, "face") if in_money else (COMPUTE, "qty")
    fixed = {"cur": CNY.code} if in_money else {"unit": COMPUTE.code, "precision": "FP16"}
    fixed["type"] = "compute_voucher"
    found = members(detail, {"scheme", "locations", "actions", name, *fixed}, where)
    for member, expected in fixed.items():
        equal(found[member], expected, f"{where}/{member}")
    return found, asset, units_claim(found[name], asset, f"{where}/{name}")


def _centres(value: object, where: str) -> tuple[str, ...] | None:
    if value == ["*"]:
        return None
    urns = [text(item, CENTRE, where) for item in value] if isinstance(value, list) else []
    if not urns or urns != sorted(set(urns)):
        raise fault(where, '应为 ["*"] 或有序且不重复的中心 URN', 'must be ["*"] or sorted, unique centre URNs')
    return tuple(urn.removeprefix(CENTRE_URN) for urn in urns)


def _actions(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or value != [action for action in ACTIONS if action in value]:
        raise fault(where, f"应依次取自 {'、'.join(ACTIONS)}", f"must be some of {', '.join(ACTIONS)}, in this order")
    return tuple(value)
