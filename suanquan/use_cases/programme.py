"""Programmes: what became of a scheme's money, year by year, and what centres may hand out of it.

Every figure is that of ledger accounts. What documents say of vouchers is compared with them: `agrees` is false, and `faults` say
where, if the two ever differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ledger import store as ledger_store
from ledger.amount import CNY, COMPUTE, Asset, format_units
from ledger.budget import ROOT
from ledger.sql import Connection
from ledger.state import Account
from suanquan.use_cases.expiry import breakage_name
from suanquan.use_cases.issue import budget_name
from voucher import programme_store
from voucher.holder import is_uscc
from voucher.programme import Commitments, fund
from voucher.programme_store import VoucherSums
from voucher.scheme import Series

STAGES = ("claimed", "payable", "paid", "recovered")
"""Last part of the names of settlement accounts, which are `settlement/<scheme>/<payee>/<stage>`."""
NO_VOUCHERS = VoucherSums(0, 0, 0, 0, 0, 0, 0)


class Year(NamedTuple):
    """A programme's year in one unit, in units of it.

    `budget` is what may be given, `left` what is neither given nor set aside. Set aside are `rounds` (not approved), `allotted` (to
    centres) and `approved` (not issued). `given` counts for holders: approved or issued and not returned. `paid_out` is what claims
    without a voucher took of it.
    """

    year: int
    asset: Asset
    budget: int
    left: int
    rounds: Mapping[str, int]
    allotted: Mapping[str, int]
    approved: int
    given: int
    expired: int
    vouchers: VoucherSums
    claims: int

    @property
    def issued(self) -> int:
        """Faces of vouchers, less what was returned."""
        return self.given - self.approved - self.claims

    def faults(self) -> list[str]:
        """Where accounts and documents differ, or sums do not add up; empty always."""
        documents = self.vouchers.faces - self.vouchers.returned
        aside = sum(self.rounds.values()) + sum(self.allotted.values())
        holds = {
            "issued": self.issued == documents,
            "uses": documents
            == self.vouchers.available + self.vouchers.held + self.vouchers.redeemed + self.vouchers.expired,
            "expired": self.expired == self.vouchers.expired,
            "budget": self.budget == self.left + aside + self.given,
        }
        return [f"{self.year} {self.asset.code} {name}" for name, holding in holds.items() if not holding]


async def programme_years(conn: Connection, scheme: str, year: int | None = None) -> list[Year]:
    """What the ledger says of a scheme's years (or of one), oldest first, in each unit."""
    root = f"{ROOT}/{scheme}/"
    places: dict[tuple[int, str], dict[tuple[str, str], int]] = {}
    for path, balance in await ledger_store.balances_under(conn, root):
        stem, _, code = path.removeprefix(root).partition("@")
        name, *rest = stem.split("/")
        if name.isdecimal() and year in {None, int(name)}:
            leaf, what = (rest[0], rest[1]) if len(rest) == 2 else ("", rest[0])
            places.setdefault((int(name), code or CNY.code), {})[leaf, what] = balance
    return [await _year(conn, scheme, at, code, found) for (at, code), found in sorted(places.items())]


async def _year(conn: Connection, scheme: str, year: int, code: str, caps: Mapping[tuple[str, str], int]) -> Year:
    asset = next(one for one in (CNY, COMPUTE) if one.code == code)
    money = {one.name or "": one for one in await ledger_store.accounts_under(conn, f"scheme/{scheme}/{year}/")}
    aside: dict[str, dict[str, int]] = {"round": {}, "allotted": {}}
    for name, account in money.items():
        parts = name.split("/")
        if len(parts) == 6 and parts[3] in aside and parts[5] == code and account.balance:
            aside[parts[3]][parts[4]] = account.balance
    given = sum(balance for (leaf, what), balance in caps.items() if what == "used" and is_uscc(leaf))
    vouchers = (await programme_store.sums_of_year(conn, scheme, year)).get(asset.number, NO_VOUCHERS)
    free, used = (caps.get(("", what), 0) for what in ("open", "used"))
    claims = money.get(f"{budget_name(scheme, year, asset).removesuffix(code)}claims/{code}")
    return Year(
        year,
        asset,
        free + used,
        free,
        aside["round"],
        aside["allotted"],
        _balance(money, f"scheme/{scheme}/{year}/approved/{code}"),
        given,
        _balance(money, breakage_name(scheme, year, asset)),
        vouchers,
        claims.debits_posted if claims else 0,
    )


def _balance(accounts: Mapping[str, Account], name: str) -> int:
    return accounts[name].balance if name in accounts else 0


async def settlement_of(conn: Connection, scheme: str) -> dict[str, int]:
    """What claims on a scheme have come to in yuan units, over all payees: claimed, payable, paid and recovered."""
    found: Counter[str] = Counter(dict.fromkeys(STAGES, 0))
    for account in await ledger_store.accounts_under(conn, f"settlement/{scheme}/"):
        stage = (account.name or "").rpartition("/")[2]
        if stage in STAGES:
            found[stage] += account.balance
    return dict(found)


async def programme_object(conn: Connection, series: Series, year: int | None = None) -> dict[str, Any]:
    """A programme: budget, what is set aside, issued, held, redeemed, expired, paid and clawed back, from the ledger's accounts."""
    scheme = series.latest
    years = await programme_years(conn, scheme.id, year)
    settled = await settlement_of(conn, scheme.id)
    money = [one for one in years if one.asset is CNY]
    totals = _commitments(money, settled)
    aside = sum(sum(one.rounds.values()) + sum(one.allotted.values()) + one.approved for one in money)
    faults = [fault for one in years for fault in one.faults()] + [f"CNY {name}" for name in totals.faults()]
    paid = totals.paid - totals.clawed_back
    funding = scheme.budget.funding if scheme.budget else ()
    return {
        "scheme": scheme.id,
        "name": scheme.name_zh,
        "name_en": scheme.name_en,
        "channels": list(scheme.procedure.channels),
        "on_exhaustion": scheme.budget.on_exhaustion if scheme.budget else None,
        "years": [_year_object(one) for one in years],
        "settlement": {name: format_units(units, CNY) for name, units in settled.items()},
        "totals": {**_totals_object(totals), "set_aside": format_units(aside, CNY)},
        "funding": [{"level": level, "bears": format_units(units, CNY)} for level, units in fund(paid, funding).items()]
        if funding
        else [],
        "agrees": not faults,
        "faults": faults,
    }


def _commitments(years: Sequence[Year], settled: Mapping[str, int]) -> Commitments:
    sums = [one.vouchers for one in years]
    return Commitments(
        budget=sum(one.budget for one in years),
        issued=sum(one.issued for one in years),
        held=sum(one.held for one in sums),
        redeemed=sum(one.redeemed for one in sums),
        expired=sum(one.expired for one in years),
        paid=settled["paid"] + settled["recovered"],
        clawed_back=settled["recovered"],
    )


def _totals_object(totals: Commitments) -> dict[str, str]:
    names = ("budget", "issued", "held", "redeemed", "expired", "paid", "clawed_back", "committed", "outstanding")
    return {name: format_units(getattr(totals, name), CNY) for name in names}


def _year_object(one: Year) -> dict[str, Any]:
    def text(units: int) -> str:
        return format_units(units, one.asset)

    sums = one.vouchers
    return {
        "year": one.year,
        "unit": one.asset.code,
        "budget": text(one.budget),
        "left": text(one.left),
        "rounds": {name: text(units) for name, units in one.rounds.items()},
        "allotted": {name: text(units) for name, units in one.allotted.items()},
        "approved": text(one.approved),
        "issued": text(one.issued),
        "available": text(sums.available),
        "held": text(sums.held),
        "redeemed": text(sums.redeemed),
        "expired": text(one.expired),
        "returned": text(sums.returned),
        "claims_without_voucher": text(one.claims),
        "vouchers": sums.vouchers,
    }


async def list_programmes(conn: Connection, series: Mapping[str, Series]) -> list[dict[str, Any]]:
    """Every scheme under which something was set aside or issued, with its totals."""
    found = []
    for one in series.values():
        shown = await programme_object(conn, one)
        if shown["years"]:
            found.append({name: shown[name] for name in ("scheme", "name", "name_en", "totals", "agrees")})
    return found
