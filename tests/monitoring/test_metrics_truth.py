"""Every figure of the metrics and of the commission's pages equals what the leaves of the log say, after whatever was done, on both databases."""

import asyncio
import contextlib
import csv
import io
import re
from collections import Counter
from datetime import datetime
from random import Random

import httpx2
import pytest

from ledger.errors import DomainError
from ledger.leaf import decode
from ledger.sql import execute_all
from ledger.store import load_head
from metering.corrections import Correction
from metering.zones import SHANGHAI
from suanquan.db import audit
from suanquan.db.tokens import create_token
from suanquan.http.app import create_app
from suanquan.http.routes import get_metrics
from suanquan.portal.office_text import TEXTS
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases.books import Order
from suanquan.use_cases.burn import now_of
from suanquan.use_cases.daily import Batches
from suanquan.use_cases.expiry import close_expired
from suanquan.use_cases.firsts import FirstUses
from suanquan.use_cases.public_price import covered_now, load_costs
from suanquan.use_cases.split import SplitOrder
from suanquan.use_cases.standing import change_standing
from suanquan.use_cases.uptake import CLASSES, utilisation
from tests.conftest import ALL
from tests.monitoring import recount
from tests.suanquan.harness import HOUR_MS, PASSPHRASE, SCHEME, give, install, usage
from tests.suanquan.test_truth import Desk
from voucher.holder import holder_class, sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.uptake_store import Part

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


OFFICE = {
    "schemes": "/office", "centres": "/office", "by_scheme": "/office/uptake", "by_class": "/office/uptake",
    "by_issue_month": "/office/uptake", "by_end_month": "/office/uptake", "centre": "/office/uptake",
    "by_class_month": "/office/budgets", "burn": "/office/budgets", "first": "/office/uptake", "by_centre_model": "/office/centres", "by_centre_month": "/office/centres",
}  # fmt: skip
"""Tables of figures on the commission's pages, by the anchor of their section."""
STATES = ("发放", "可用", "预占", "已核销", "已过期", "已收回")


@contextlib.asynccontextmanager
async def asking(service):
    """What asks the service for pages as somebody of the office."""
    async with service.database.write() as conn:
        token = await create_token(conn, "finance", f"truth {service.now_us}", service.now_us)
    transport = httpx2.ASGITransport(app=create_app(service))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers) as client:
        yield client


async def recounted(service, note):
    """Count anew what waits, cases, clauses and the figures of the first page."""
    async with asking(service) as client:

        async def ask(path):
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            return answer

        pages = await recount.read(ask)
    async with service.database.read() as conn:
        balances = await leaves_say(conn)
        await recount.compare(conn, service.proceedings.office, pages, balances, note)
        await recount.compare_first_page(conn, pages, balances, service.catalog, note)


async def tables_of(service):
    """Every table of figures on the commission's pages, as rows by heading: what its CSV says is what the page shows."""
    found = {}
    async with asking(service) as client:
        for name, path in OFFICE.items():
            query = {} if name == "schemes" else {"format": "csv", "table": name}
            answer = await client.get(path, params=query)
            assert answer.status_code == 200, (name, answer.text)
            if name == "schemes":  # a list of terms, no table
                [sums] = re.findall(r'<dl class="sums">(.*?)</dl>', answer.text, re.DOTALL)
                pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", sums)
                found[name] = [{term: re.sub(r"<.*?>", "", said) for term, said in pairs}]
                continue
            found[name] = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    return found


def plain(row, heading):
    """The figure under the heading that begins so, as a whole number of millionths."""
    [said] = [text for name, text in row.items() if name.startswith(heading)]
    whole, _, rest = said.replace(",", "").replace("−", "-").partition(".")
    return int(whole + rest.ljust(6, "0"))


async def compare_pages(connection, tables, balances, note):
    """Each figure against sums over the vouchers' own rows and the leaves of the log, which no page reads."""
    text = "SELECT v.jti, v.holder, v.units, v.issued_us, v.until_us, (SELECT 1 FROM outflow o WHERE o.child = v.jti LIMIT 1) FROM voucher v"
    [rows] = await execute_all(connection, [(text, ())])
    keys = {
        "by_scheme": lambda *_: "all",
        "by_class": lambda holder, _issued, _until: holder_class(holder[0]),
        "by_issue_month": lambda _holder, issued, _until: month_of(issued),
        "by_end_month": lambda _holder, _issued, until: month_of(until),
        "by_class_month": lambda _holder, issued, _until: month_of(issued),
        "schemes": lambda *_: "all",
    }
    for name, key in keys.items():
        wanted = Counter()
        for jti, holder, units, issued_us, until_us, child in rows:
            place = key(holder, issued_us, until_us)
            left, held = balances.get(f"voucher/{jti}", (0, 0))
            wanted[place, "发放"] += 0 if child else units
            wanted[place, "可用"] += left - held
            wanted[place, "预占"] += held
        shown = {next(iter(row.values())): row for row in tables[name]}
        if name in {"by_scheme", "schemes"}:
            shown = {"all": next(iter(shown.values()))} if shown else {}
        if name == "by_class":
            shown = {TEXTS_BY_CLASS[label]: row for label, row in shown.items()}
        assert len(shown) == len({place for place, _ in wanted}), (note, name)
        for (place, state), units in wanted.items():
            assert plain(shown[place], state) == units, (note, name, place, state)
        for row in shown.values():
            assert plain(row, "发放") == sum(plain(row, state) for state in STATES[1:]), (note, name)
    owed = sum(balance for account, (balance, _) in balances.items() if account.endswith("/receivable"))
    self_paid = -sum(balance for account, (balance, _) in balances.items() if account.startswith("self-pay/"))
    for name in ("centres", "by_centre_model", "by_centre_month"):
        assert sum(plain(row, "应计金额") for row in tables[name]) == owed, (note, name)
    assert sum(plain(row, "自付") for row in tables["centres"]) == self_paid, note
    paid = sum(plain(row, "已核销") for row in tables["schemes"])
    assert paid == owed - self_paid, note
    [[(gpu_ms,)]] = await execute_all(connection, [("SELECT COALESCE(SUM(gpu_ms), 0) FROM usage_month", ())])
    for name in ("centres", "by_centre_model", "by_centre_month"):
        hours = sum(plain(row, "卡时") for row in tables[name])
        assert abs(hours - gpu_ms * 1_000_000 // 3_600_000) <= 5_000 * max(1, len(tables[name])), (note, name)


async def compare_charts(service, connection, note):
    """What charts are made of, against the leaves of the log and the sums of metering, while everything is in force."""
    balances = await leaves_say(connection)
    owed = sum(balance for account, (balance, _) in balances.items() if account.endswith("/receivable"))
    self_paid = -sum(balance for account, (balance, _) in balances.items() if account.startswith("self-pay/"))
    head = await load_head(connection)
    now_us = max(service.now_us, head.last_ns // 1000 + 1)  # a log's times ascend, whatever the clock says
    usage = await utilisation(connection, service.catalog, now_us)
    costs = await load_costs(connection, service.charts.covered, usage, now_us)
    assert (await service.charts.covered.at(connection, [now_us]))[now_us] == await covered_now(connection), note
    assert sum(one.subsidised for one in costs) == owed - self_paid, note
    [then] = (await service.charts.closes.at(connection, [now_us])).values()
    live = await now_of(connection)
    assert then == live, note
    assert sum(one.redeemed for one in then.vouchers.values()) == owed - self_paid, note
    before = (await service.charts.closes.at(connection, [1, now_us]))[1]
    assert before.vouchers == {}, note
    [[(gpu_ms,)]] = await execute_all(connection, [("SELECT COALESCE(SUM(gpu_ms), 0) FROM usage_month", ())])
    for batches in (service.charts.batches, Batches()):  # what was kept since earlier acts, and all anew
        heard = await batches.heard(connection, now_us)
        assert sum(sum(hours.values()) for hours in heard.used.values()) == gpu_ms, note
    [[(used,)]] = await execute_all(connection, [(FIRST_USED, ())])
    for uses in (service.charts.firsts, FirstUses()):
        assert sum(one.days is not None for one in await uses.load(connection, Part())) == used, note


FIRST_USED = """
SELECT COUNT(*) FROM voucher v JOIN balance b ON b.account = v.account WHERE v.asset = 1 AND b.debits_posted - (b.credits_posted - v.units)
  - COALESCE((SELECT r.returned FROM revoked r WHERE r.jti = v.jti), 0)
  - COALESCE((SELECT SUM(o.units) FROM outflow o WHERE o.jti = v.jti), 0) > 0
"""


def compare_burn(tables, note):
    """The last month of the year in which all was done: what was redeemed still is, and what was available then has expired since."""
    row = tables["burn"][-1]
    assert row["月份"].endswith("-12"), note
    sums = {state: sum(plain(one, state) for one in tables["by_scheme"]) for state in STATES}
    assert plain(row, "已核销未拨付") == sums["已核销"], note
    assert plain(row, "已拨付") == 0, note
    assert plain(row, "可用") + plain(row, "预占") == sums["可用"] + sums["预占"] + sums["已过期"], note
    vouchers = sum(int(one["张数"].replace(",", "")) for one in tables["by_scheme"])
    heads = [head for head in tables["first"][0] if "Q" in head]
    assert sum(int(head.rpartition("(")[2].rstrip(")").replace(",", "")) for head in heads) == vouchers, note


def month_of(at_us):
    """The Shanghai month of an instant."""
    return datetime.fromtimestamp(at_us / 1_000_000, SHANGHAI).strftime("%Y-%m")


TEXTS_BY_CLASS = {TEXTS["zh"][kind]: kind for kind in CLASSES}


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


async def look_between(service, when):
    """Metrics and charts in the middle of things: what is remembered of earlier sums must not show later."""
    await get_metrics(service, {})
    async with service.database.read() as connection:
        await compare_charts(service, connection, when)


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
                await recount.act(service, desk, random, number)
                if number % 13 == 7:
                    await look_between(service, f"seed {seed}, act {number}")
            await recount.cases(service, clock, random)
            await recounted(service, f"seed {seed}, before the end")
            clock.now_ns += 12 * YEAR_NS
            if random.random() < 0.5:
                await service.journal.transact(close_expired)
            page = (await get_metrics(service, {})).body.decode()
            tables = await tables_of(service)
            await recounted(service, f"seed {seed}")
            async with service.database.read() as connection:
                await compare_pages(connection, tables, await leaves_say(connection), f"seed {seed}")
                compare_burn(tables, f"seed {seed}")
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
