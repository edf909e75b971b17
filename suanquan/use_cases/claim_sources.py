"""What claims draw on: a voucher, a target agreement, or the year's budget under its caps; and what metering knows of spending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from ledger.amount import CNY, parse_units
from ledger.budget import used_name
from ledger.entry import Event, Leg, Restriction, credit, debit
from ledger.errors import Finding, Kind
from ledger.scope import EVERYTHING
from ledger.transaction import Transaction
from metering import store as metering_store
from suanquan.use_cases.caps import open_caps
from suanquan.use_cases.claim_reading import load_agreement, load_claims
from suanquan.use_cases.evidence import Paper, read_paper
from suanquan.use_cases.issue import load as load_voucher
from suanquan.use_cases.settlement_facts import posting
from suanquan.use_cases.settlement_moves import BENEFICIARY, OFFICE, PROVIDER, life_of, source_bucket
from voucher import store as voucher_store
from voucher.errors import VoucherError
from voucher.holder import check_uscc
from voucher.lifecycle import Action, Bucket, Phase, act
from voucher.scheme import Scheme, Terms, policy_year
from voucher.settlement.accounts import Ways, agreement_account, centre_payee, claims_budget, holder_payee
from voucher.settlement.cycle import Period, read_period
from voucher.settlement.line import UNITS_PER_FEN

MEMBERS = ("scheme", "holder", "voucher", "agreement", "as", "facts", "amount_yuan", "evidence", "period")
SIDES = (BENEFICIARY, PROVIDER, OFFICE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A claim as asked: under which scheme, for whom and as which side, on what, with which facts and papers."""

    scheme: str
    holder: str
    side: str
    voucher: str
    agreement: str
    facts: Mapping[str, Any]
    units: int | None
    papers: tuple[Paper, ...]
    period: Period | None


class Source(NamedTuple):
    """Where the units of a claim come from: the way to its payee, how much there is, and what bears on its use."""

    ways: Ways
    units: int
    phase: Phase
    side: str | None


def read_asked(given: Mapping[str, Any]) -> Asked:
    """A claim as a request describes it.

    Raises:
        VoucherError: `claim-malformed` with the member at fault, `evidence-malformed`, `period-malformed`.
        DomainError: the holder's code or the amount is not valid.

    """
    for name in given:
        if name not in MEMBERS:
            raise malformed(name[:60], "没有这一项", "is not known here")
    texts = {name: _text(given, name) for name in ("scheme", "holder", "voucher", "agreement", "period")}
    side, facts, papers = given.get("as", BENEFICIARY), given.get("facts", {}), given.get("evidence", [])
    if side not in SIDES:
        listed = "、".join(SIDES)
        raise malformed("as", f"应为 {listed} 之一", f"is one of {', '.join(SIDES)}")
    if not isinstance(facts, Mapping) or not isinstance(papers, list):
        raise malformed("facts", "应为“键: 值”，evidence 应为列表", "is a mapping, and evidence a list")
    amount = given.get("amount_yuan")
    units = None if amount is None else parse_units(amount if isinstance(amount, str) else "", CNY)
    return Asked(
        scheme=texts["scheme"],
        holder=check_uscc(texts["holder"]),
        side=side,
        voucher=texts["voucher"],
        agreement=texts["agreement"],
        facts=facts,
        units=units,
        papers=tuple(read_paper(one if isinstance(one, Mapping) else {}) for one in papers),
        period=read_period(texts["period"], None) if texts["period"] else None,
    )


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str) or len(value) > 64:
        raise malformed(name, "应为至多 64 个字符的文字", "must be a text of at most 64 characters")
    return value


def malformed(where: str, zh: str, en: str) -> VoucherError:
    """The refusal of a member of a claim."""
    finding = Finding("claim-malformed", zh, en, f"/{where}")
    return VoucherError("claim-malformed", f"申请的 /{where} {zh}", f"the claim's /{where} {en}", findings=[finding])


async def source_of(tx: Transaction, scheme: Scheme, asked: Asked) -> Source:
    """What a claim draws on under the scheme's claim mode.

    Raises:
        VoucherError: `voucher-unknown`, `agreement-unknown`, `not-your-claim`.

    """
    if source_bucket(scheme.claim_mode) is Bucket.BUDGET:
        name = claims_budget(scheme.id, policy_year(tx.now_ns // 1000))
        return Source(Ways(scheme.id, holder_payee(asked.holder), name, Bucket.BUDGET), 0, Phase.OPEN, None)
    if scheme.target is not None:
        return await _of_agreement(tx, scheme, asked)
    stored = await load_voucher(tx.connection, asked.voucher, EVERYTHING)
    if (stored.scheme, stored.holder) != (scheme.id, asked.holder):
        raise not_yours()
    account = (await tx.accounts_by_number([stored.account]))[stored.account]
    over = tx.now_ns // 1000 >= stored.until_us
    phase = Phase.SUSPENDED if account.restriction & Restriction.FROZEN else Phase.OPEN
    if await voucher_store.is_revoked(tx.connection, stored.jti):
        phase = Phase.REVOKED
    ways = Ways(scheme.id, holder_payee(asked.holder), account.name, Bucket.AVAILABLE)
    return Source(ways, account.available, Phase.EXPIRED if over and phase is Phase.OPEN else phase, None)


async def _of_agreement(tx: Transaction, scheme: Scheme, asked: Asked) -> Source:
    """One side of an agreement; who has claimed on it before keeps the other one out."""
    found = await load_agreement(tx.connection, asked.agreement)
    if (found.scheme, found.holder) != (scheme.id, asked.holder):
        raise not_yours()
    name = agreement_account(found.id)
    account = (await tx.accounts([name]))[name]
    earlier = [one for one in await load_claims(tx.connection, scheme.id) if one.agreement == found.id]
    payee = centre_payee(found.provider) if asked.side == PROVIDER else holder_payee(asked.holder)
    side = earlier[0].actor if earlier else None
    return Source(Ways(scheme.id, payee, name, Bucket.AVAILABLE), account.available, Phase.OPEN, side)


def not_yours() -> VoucherError:
    """The refusal of a claim on what belongs to another."""
    return VoucherError(
        "not-your-claim",
        "该券、目标责任书或申请不属于此单位或此方案",
        "the voucher, agreement or claim is another's, or under another scheme",
        kind=Kind.NOT_ALLOWED,
    )


async def from_budget(tx: Transaction, scheme: Scheme, holder: str, units: int) -> tuple[list[Event], tuple[Leg, ...]]:
    """What funds the year's budget before a claim takes from it, and the legs that take it from every cap.

    Raises:
        VoucherError: `budget-unset`; the ledger refuses what a cap does not have.

    """
    budget, year = scheme.budget, policy_year(tx.now_ns // 1000)
    if budget is None or budget.year_fen is None:
        raise VoucherError(
            "budget-unset",
            f"方案 {scheme.id} 未定年度预算，不能承诺资金",
            f"the scheme {scheme.id} fixes no budget of a year: nothing can be committed",
            kind=Kind.CONFLICT,
        )
    path = (scheme.id, str(year), holder)
    year_units = budget.year_fen * UNITS_PER_FEN
    used = (await tx.accounts([used_name(path[:2], CNY)])).get(used_name(path[:2], CNY))
    committed = used.balance if used else 0
    if budget.over_issue:
        year_units = max(year_units, committed + units)
    caps = await open_caps(tx, path, Terms(CNY, year_units, year_units, 1, year_units), 0, units)
    names = (f"scheme/{scheme.id}/treasury/{CNY.code}", claims_budget(scheme.id, year))
    accounts = await tx.open([(names[0], CNY, None), (names[1], CNY, 0)])
    legs, short = caps.changes, year_units - committed - accounts[names[1]].available
    if short > 0:
        legs = (debit(accounts[names[0]].number, short), credit(accounts[names[1]].number, short), *legs)
    funding = [posting(tx, f"{scheme.id} {year}", "fund", legs)] if legs else []
    return funding, caps.spend(units)


async def grant(tx: Transaction, scheme: Scheme, holder: str, agreement: str, units: int) -> list[Event]:
    """Budget → agreement: what its target entitles to once it is reached."""
    account = agreement_account(agreement)
    year = policy_year(tx.now_ns // 1000)
    ways = Ways(scheme.id, holder_payee(holder), account, Bucket.AVAILABLE)
    funding, caps = await from_budget(tx, scheme, holder, units)
    accounts = await tx.open([(account, CNY, 0), (claims_budget(scheme.id, year), CNY, 0)])
    act(await life_of(tx, ways, scheme.claim_mode, 0), Action.GRANT, units, actor=OFFICE)
    legs = (
        debit(accounts[claims_budget(scheme.id, year)].number, units), credit(accounts[account].number, units), *caps
    )  # fmt: skip
    return [*funding, posting(tx, agreement, "grant", legs)]


async def metered_units(tx: Transaction, holder: str, period: Period) -> int:
    """Yuan units that a holder's accounts spent in a period by metering, less what vouchers ever paid of it.

    Usage belongs to the month in which it ran, in Shanghai: a job that crosses the end of a year is split there.
    """
    months = range(_month(period.first), _month(period.after))
    rated = 0
    for centre, account, whose in await voucher_store.load_bindings(tx.connection):
        if whose == holder:
            rows = await metering_store.usage_by(tx.connection, "month", centre=centre, account=account)
            rated += sum(row["rated_units"] for row in rows if row["month"] in months)
    paid = (await voucher_store.spent_by_holder(tx.connection, holder)).get(CNY.number, 0)
    return max(rated - paid, 0)


def _month(day: date) -> int:
    return day.year * 100 + day.month
