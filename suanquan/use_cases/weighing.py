"""What an officer weighs before an application is granted: the rules' result, what else is claimed or was granted, the budget before and after."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import store as ledger_store
from ledger.amount import CNY, Asset
from ledger.sql import Connection
from suanquan.use_cases.applications import Application
from suanquan.use_cases.procedure_money import budget_account
from subsidy import store
from subsidy.procedure_guards import Setting


@dataclass(frozen=True, slots=True)
class Weighed:
    """In units of `asset`: what the budget still has, and what granting would take of it (None: no amount can be told).

    `held` are kinds of claims that this application holds in the register, with their number; `shared` the same things that other
    subjects hold. `others` are applications of the same applicant, newest first.
    """

    account: str
    asset: Asset
    left: int
    wanted: int | None
    committed: bool
    held: dict[str, int]
    shared: list[tuple[str, str]]
    others: list[Application]

    @property
    def after(self) -> int | None:
        """What is left once it is granted; below zero it cannot be."""
        return None if self.wanted is None else self.left - (0 if self.committed else self.wanted)


async def weigh(conn: Connection, found: Application, setting: Setting, every: list[Application]) -> Weighed:
    """What stands beside an application; `every` are all applications that there are."""
    account, asset = _budget(found)
    balances = {one.name: one.balance for one in await ledger_store.load_accounts_by_name(conn, [account])}
    amount = found.case.committed or found.case.amount or setting.judged.ceiling
    claims = [one for one in await store.claims_of(conn, found.id) if not one.released]
    held: dict[str, int] = {}
    for one in claims:
        held[one.kind] = held.get(one.kind, 0) + 1
    taken: dict[tuple[str, bytes], bool] = {}
    for other in await store.claims_on(conn, [one.digest for one in claims]):
        taken[other.subject, other.digest] = not other.released
    kinds = {one.digest: one.kind for one in claims}
    return Weighed(
        account,
        asset,
        balances.get(account, 0),
        None if amount is None else found.unit.units(amount),
        found.case.committed > 0,
        held,
        sorted((kinds[digest], subject) for (subject, digest), on in taken.items() if on and subject != found.id),
        [one for one in reversed(every) if one.case.applicant == found.case.applicant and one.id != found.id],
    )


def _budget(found: Application) -> tuple[str, Asset]:
    """The account that a grant is taken from: of the round for vouchers, of the clause's year for money."""
    year = found.round.called.year
    if not found.round.procedure.for_schemes:
        return budget_account(found.round.procedure.id, year, found.clause), CNY
    asset = found.unit.asset
    return f"scheme/{found.clause}/{year}/round/{found.round.id}/{asset.code}", asset
