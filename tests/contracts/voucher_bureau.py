"""A bureau that gives vouchers: proceedings with the issuer's keys on a ledger of either kind, and a clock that the test moves."""

import pytest

from ledger import store as ledger_store
from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from suanquan.use_cases.applications import load_application
from suanquan.use_cases.issue_approved import issue_approved
from suanquan.use_cases.issue_many import Desk as IssuingDesk
from suanquan.use_cases.procedure import Proceedings
from suanquan.use_cases.voucher_matter import Issuing
from tests.contracts.bureau import OFFICE, Bureau
from tests.ledger.full_ledger import KEYS
from tests.subsidy.procedure_samples import FANG
from tests.voucher.application_samples import (
    APPROVE,
    BALANCED,
    CALL,
    COMPANY,
    LIST,
    OVER,
    PLAN,
    POST,
    POSTED,
    REVIEW,
    SCHEME,
    application,
)
from tests.voucher.samples import PRIVATE

UNITS = 10_000
"""Units of the ledger in a fen."""
PREFIX = f"scheme/{SCHEME}/"


class VoucherBureau(Bureau):
    """A bureau at work on vouchers."""

    def __init__(self, desk, office=OFFICE):
        super().__init__(desk)
        self.office = office
        self.proceedings = Proceedings(desk.journal, office, self.clock, Issuing(lambda: KEYS, None))
        self.issuing = IssuingDesk(desk.journal, KEYS, PRIVATE.sign, lambda _kid: PRIVATE.sign, None)

    async def call(self, actor=FANG, **changes):
        return await self.proceedings.call(actor, CALL | changes)

    async def submit(self, round_, actor=COMPANY, key=None, **changes):
        return await self.proceedings.submit(actor, application(round_, **changes), key)

    async def reviewed(self, round_, actor=COMPANY, **changes):
        found = await self.submit(round_, actor, **changes)
        await self.play(found, *REVIEW)
        return found

    async def approved(self, found, plan=PLAN):
        """From reviewed to approved."""
        self.clock.set(BALANCED)
        await self.play(found, plan, LIST)
        self.clock.set(POSTED)
        await self.play(found, POST)
        self.clock.set(OVER)
        await self.play(found, APPROVE)

    async def issue(self, found):
        return await issue_approved(self.proceedings, self.issuing, found)

    async def case(self, found):
        async with self.desk.database.read() as conn:
            return (await load_application(conn, self.office, found, EVERYTHING)).case

    async def accounts(self, *prefixes):
        """Fen by account of programmes, caps and vouchers; empty ones left out."""
        found = {}
        async with self.desk.database.read() as conn:
            for prefix in prefixes or (PREFIX,):
                for account in await ledger_store.accounts_under(conn, prefix):
                    if account.balance:
                        found[account.name.removeprefix(PREFIX)] = account.balance // UNITS
        return found


async def refusal(coroutine):
    """What a request is refused with."""
    with pytest.raises(DomainError) as caught:
        await coroutine
    return caught.value
