"""A bureau at work: proceedings on a ledger of either kind, with a clock that the test moves."""

import asyncio

import pytest

from ledger import store as ledger_store
from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from suanquan.home import Home
from suanquan.office import load_office
from suanquan.use_cases.applications import load_application
from suanquan.use_cases.procedure import Proceedings
from tests.ledger.desk import make_ledger
from tests.shared_data import ROOT
from tests.subsidy.procedure_samples import CALL, COMPANY, FANG, POST, REVIEW, Clock, application

OFFICE = load_office(Home(ROOT))
UNITS = 10_000
"""Units of the ledger in a fen."""


def make(place):
    asyncio.run(make_ledger(place))


class Bureau:
    """A bureau at work: proceedings on a ledger, with a clock that the test moves."""

    def __init__(self, desk):
        self.clock = Clock()
        self.desk = desk
        desk.journal._clock_ns = self.clock
        self.proceedings = Proceedings(desk.journal, OFFICE, self.clock)

    async def call(self, actor=FANG, **changes):
        return await self.proceedings.call(actor, CALL | changes)

    async def submit(self, round_, actor=COMPANY, key=None, **changes):
        return await self.proceedings.submit(actor, application(round_, **changes), key)

    async def play(self, found, *steps):
        for actor, step, inputs in steps:
            await self.proceedings.take(actor, found, step, inputs)

    async def refused(self, found, *step):
        """The code of a step's refusal."""
        with pytest.raises(DomainError) as caught:
            await self.play(found, step)
        return caught.value.code

    async def noticed(self, **changes):
        """An application in public notice since 26 September 2025, until 10 October."""
        round_ = await self.call()
        found = await self.submit(round_, **changes)
        await self.play(found, *REVIEW)
        self.clock.set("2025-09-26T10:00:00+08:00")
        await self.play(found, POST)
        return found

    async def case(self, found):
        async with self.desk.database.read() as conn:
            return (await load_application(conn, OFFICE, found, EVERYTHING)).case

    async def balances(self):
        """Fen by account of the subsidies."""
        async with self.desk.database.read() as conn:
            accounts = await ledger_store.accounts_under(conn, "subsidy/")
        return {account.name.removeprefix("subsidy/"): account.balance // UNITS for account in accounts}
