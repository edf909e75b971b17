"""Every figure of the metrics equals what the leaves of the log say, after whatever was done, on both databases."""

import asyncio
import re
from collections import Counter
from random import Random

import pytest

from ledger.errors import DomainError
from ledger.leaf import decode
from ledger.sql import execute_all
from metering.corrections import Correction
from suanquan.db import audit
from suanquan.http.routes import get_metrics
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases.books import Order
from suanquan.use_cases.expiry import close_expired
from suanquan.use_cases.split import SplitOrder
from suanquan.use_cases.standing import change_standing
from tests.conftest import ALL
from tests.suanquan.harness import HOUR_MS, PASSPHRASE, SCHEME, give, install, usage
from tests.suanquan.test_truth import Desk
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest

STEPS = 10_000 if ALL else 40
COMPANIES = 10_000 if ALL else 60
YEAR_NS = 365 * 86_400_000_000_000
KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
MODELS = ("A100", "H100-SXM")


class Clock:
    """2025-03-10, and whatever is added."""

    def __init__(self):
        self.now_ns = 1_741_600_000_000_000_000

    def __call__(self):
        self.now_ns += 1
        return self.now_ns


async def refused(work):
    """Do what may be refused."""
    try:
        return await work
    except DomainError:
        return None


async def act(service, desk, random, number, made):
    """Something that changes figures, or is refused."""
    choice = random.choice(["give", "use", "use", "use", "revoke", "suspend", "split", "void", "again"])
    jti = random.choice(made) if made else None
    if choice == "give" or jti is None:
        account = f"acct{random.randrange(4)}"
        voucher = await refused(
            give(service, sandbox_uscc(random.randrange(1, 5)), str(random.randrange(1, 200)), accounts=[account])
        )
        if voucher:
            made.append(voucher.jti)
    elif choice == "use":
        await desk.report(
            usage(number, account=f"acct{random.randrange(4)}", model=random.choice(MODELS), active_ms=HOUR_MS * random.randrange(1, 9))
        )  # fmt: skip
    elif choice == "again":
        await desk.report(usage(random.randrange(number + 1), account="acct0"))
    elif choice == "void":
        await refused(desk.say(Correction(f"sj01:{random.randrange(number + 1):09d}", 1, None)))
    elif choice == "split":
        await refused(service.split(SplitOrder(jti, str(random.randrange(1, 50)), KEY, f"split/{number}")))
    else:
        what = "revoke" if choice == "revoke" else random.choice(["suspend", "resume"])
        order = Order("officer", "a reason", f"{choice}/{number}")
        await refused(change_standing(service.journal, order, jti, what))


async def leaves_say(connection):
    """Balances by name of account, from the last leg of each in the log: nothing that is kept beside it is asked."""
    names = {bytes(one.public_id): one.name async for one in audit.accounts(connection)}
    balances = {}
    for leaf in await audit.leaves_from(connection, 0, 10**6):
        entry, _ = decode(leaf)
        for leg in entry.legs:
            posted_debits, posted_credits, held_debits, _ = leg[7:]
            balances[names[bytes(leg.public_id)]] = (posted_credits - posted_debits, held_debits)
    return balances


async def documents_of(connection):
    """Units of every voucher's document, parts split off not counted again."""
    text = "SELECT units FROM voucher WHERE jti NOT IN (SELECT child FROM outflow WHERE child IS NOT NULL)"
    [rows] = await execute_all(connection, [(text, ())])
    return [units for (units,) in rows]


def series(page):
    """Values by series."""
    lines = (line for line in page.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def enrol(service):
    """Give a voucher to each of many companies: the first makes the series of the scheme, the others make none."""
    orders = [(IssueRequest(sandbox_uscc(10 + at), "CNY", "1"), f"enrol/{at}") for at in range(COMPANIES)]
    pages = []
    for some in (orders[:1], orders[1:]):
        async for made in service.issue_many(SCHEME, some):
            assert not isinstance(made, DomainError), made
        pages.append(series((await get_metrics(service, {})).body.decode()))
    assert pages[0].keys() == pages[1].keys()
    assert len(pages[1]) < 2_000
    for page, count in zip(pages, (1, COMPANIES), strict=True):
        assert sum(value for name, value in page.items() if name.startswith("voucher_beneficiaries{")) == count


@pytest.mark.parametrize("back_end", ["sqlite", "postgresql"], indirect=True)
def test_the_metrics_say_what_the_log_says(back_end, request, tmp_path, seed):
    """Issued, available, held, redeemed, expired, returned; usage, prices and outcomes; and companies make no series.

    With `--all` after 10,000 acts, among 10,000 companies; the page has as many series then as with one, and under 2,000.
    """
    random = Random(seed)
    url = "" if back_end.name == "sqlite" else request.getfixturevalue("new_database")().url
    home = install(tmp_path / "home", Settings(sandbox=True, database_url=url)).home
    clock, statuses = Clock(), Counter()

    async def run():
        async with open_service(home, PASSPHRASE, clock) as service:
            service.rules  # noqa: B018 -- read once
            desk, made = Desk(service), []
            report = desk.report

            async def counted(*records):
                found = await report(*records)
                statuses.update(found)
                return found

            desk.report = counted
            await enrol(service)
            for number in range(STEPS):
                await act(service, desk, random, number, made)
                if number % 13 == 7:
                    await get_metrics(service, {})  # what is remembered of earlier sums must not show later
            clock.now_ns += 12 * YEAR_NS
            if random.random() < 0.5:
                await service.journal.transact(close_expired)
            page = (await get_metrics(service, {})).body.decode()
            async with service.database.read() as connection:
                return page, await leaves_say(connection), await documents_of(connection)

    page, balances, documents = asyncio.run(run())
    found = series(page)
    assert len(found) < 2_000

    def yuan(state):
        return found[f'voucher_budget_yuan{{scheme="{SCHEME}",state="{state}"}}']

    owed = {name.split("/")[1]: balance for name, (balance, _) in balances.items() if name.endswith("/receivable")}
    self_paid = -sum(balance for name, (balance, _) in balances.items() if name.startswith("self-pay/"))
    expired = sum(balance for name, (balance, _) in balances.items() if "/breakage/" in name)
    left = {name: row for name, row in balances.items() if name.startswith("voucher/")}
    note = f"seed {seed}"
    assert yuan("redeemed") == pytest.approx((sum(owed.values()) - self_paid) / 1e6, abs=1e-6), note
    assert yuan("expired") == pytest.approx(expired / 1e6, abs=1e-6), note
    assert yuan("held") == pytest.approx(sum(held for _, held in left.values()) / 1e6, abs=1e-6), note
    assert yuan("available") == pytest.approx(sum(a - held for a, held in left.values()) / 1e6, abs=1e-6), note
    assert yuan("issued") == pytest.approx(sum(documents) / 1e6, abs=1e-6), note
    parts = sum(yuan(state) for state in ("available", "held", "redeemed", "expired", "returned"))
    assert yuan("issued") == pytest.approx(parts, abs=1e-6), note
    assert found.get('centre_rated_yuan_total{centre="sj01"}', 0) == pytest.approx(owed.get("sj01", 0) / 1e6), note
    for status in statuses:
        name = f'usage_records_total{{centre="sj01",status="{status}"}}'
        assert found[name] == statuses[status], (note, name)
    assert re.search(r"^ledger_entries \d", page, re.MULTILINE)
