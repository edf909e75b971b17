"""One figure, wherever it is read: a voucher's parts on pages, in files, of the API, the ledger and the metrics; what is missing is no nought."""

import contextlib
import csv
import html
import io
import random
import re
from collections import Counter
from decimal import Decimal

import pytest

from ledger.errors import DomainError
from suanquan.db.tokens import create_token
from suanquan.portal.office_text import TEXTS
from suanquan.portal.text import TEXTS as COMMON
from suanquan.portal.work_text import TEXTS as WORK_TEXTS
from suanquan.use_cases.books import Order
from suanquan.use_cases.split import SplitOrder
from suanquan.use_cases.standing import change_standing
from tests.suanquan import workbooks
from tests.suanquan.site import SCHEME
from tests.suanquan.spender import HOLDER_KEY, Spender
from tests.suanquan.test_portal_files import words_of
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest

PARTS = ("available", "held", "redeemed", "expired", "returned")
ALL_PARTS = ("issued", *PARTS, "split")
ZH = COMMON["zh"] | TEXTS["zh"]
WORK = WORK_TEXTS["zh"]
HOLDER = sandbox_uscc(88)
ACTS = 14


def table_of(answer):
    """Rows of a CSV file by heading."""
    lines = [line for line in csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))) if line]
    start = next(at for at, line in enumerate(lines) if ZH["jti"] in line)
    return [dict(zip(lines[start], line, strict=True)) for line in lines[start + 1 :]]


async def refused(work):
    """Do what may be refused."""
    with contextlib.suppress(DomainError):
        await work


def act(site, random_, number, made, holds):
    """Something that moves money of one of the vouchers, or is refused."""
    service, what = site.service, random_.choice(["give", "hold", "hold", "capture", "release", "split", "revoke"])
    spender = Spender(site.url, clock=lambda: service.now_us / 1_000_000)
    if what == "give" or len(made) < 2:
        amount = f"{random_.randrange(200, 900)}.{random_.randrange(100):02d}"
        made.append(site.call(service.issue(SCHEME, IssueRequest(HOLDER, "CNY", amount, dict(HOLDER_KEY.jwk())))))
        return
    one = random_.choice(made)
    if what == "hold":
        answer = spender.hold(one.token, random_.randrange(1, 60))
        holds += [answer.content["hold"]] if answer.status == 200 else []
    elif what in {"capture", "release"} and holds:
        hold = holds.pop(random_.randrange(len(holds)))
        spender.capture(hold, str(random_.randrange(1, 30))) if what == "capture" else spender.release(hold)
    elif what == "split":
        site.call(refused(service.split(SplitOrder(one.jti, "7.5", dict(HOLDER_KEY.jwk()), f"figures/{number}"))))
    elif what == "revoke" and number > ACTS // 2:
        order = Order("officer", "a reason", f"figures/{number}")
        site.call(refused(change_standing(service.journal, order, one.jti, "revoke")))


def said_by(row):
    """Parts of a voucher in a row of a file, by their names."""
    return {part: Decimal(row[ZH[part]]) for part in ALL_PARTS if ZH[part] in row}


def test_a_voucher_is_the_same_figure_wherever_it_is_read(acted_on, visit, browser, seed):
    """After random acts: page, CSV, Excel, PDF and API for holder and office, entries of the ledger, holds of the centre, metrics."""
    print("seed", seed)
    site, random_, made, holds = acted_on, random.Random(seed), [], []
    for number in range(ACTS):
        act(site, random_, number, made, holds)

    async def token():
        async with site.service.database.write() as conn:
            return await create_token(conn, "beneficiary_admin", "figures", site.service.now_us, tenant=HOLDER)

    bearer = {"Authorization": f"Bearer {site.call(token())}"}
    mine = {row[ZH["jti"]]: row for row in table_of(browser.get("/vouchers?format=csv", headers=bearer))}
    office = {row[ZH["jti"]]: row for row in table_of(visit("officer", f"/office/vouchers?holder={HOLDER}&format=csv"))}
    assert mine.keys() == office.keys() >= {one.jti for one in made}
    papers = [
        words_of(browser.get("/vouchers?format=pdf", headers=bearer).content).replace(",", ""),
        words_of(visit("officer", f"/office/vouchers?holder={HOLDER}&format=pdf").content).replace(",", ""),
    ]
    sheet, *_ = workbooks.read(browser.get("/vouchers?format=xlsx", headers=bearer).content).values()
    books = {row[0]: dict(zip(sheet[0], row, strict=True)) for row in sheet[1:]}
    held_there = Counter()
    for row in csv.DictReader(io.StringIO(visit("centre", "/holds?state=open&format=csv").text.removeprefix("\ufeff"))):
        held_there[row[ZH["jti"]]] += Decimal(next(said for head, said in row.items() if head.startswith(WORK["held_rest"].partition("（")[0])))  # fmt: skip
    for jti, row in mine.items():
        parts = said_by(row)
        assert parts["issued"] == sum(parts[part] for part in (*PARTS, "split")), (jti, parts)
        for who in ({"Authorization": f"Bearer {site.tokens['officer']}"}, bearer):
            told = browser.get(f"/v1/vouchers/{jti}", headers=who).json()
            assert {part: Decimal(told[part]) for part in ALL_PARTS} == parts
        page = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", browser.get(f"/vouchers/{jti}", headers=bearer).text)
        bare = {html.unescape(term): re.sub(r"<[^>]+>|,", "", said) for term, said in page}
        shown = {term: Decimal(said) for term, said in bare.items() if re.fullmatch(r"\d+\.\d+", said)}
        assert {part: shown[ZH[part]] for part in ALL_PARTS} == parts
        assert {part: Decimal(books[jti][ZH[part]][1]) for part in ALL_PARTS} == parts
        of_office = said_by(office[jti])
        assert {part: of_office[part] for part in PARTS} == {part: parts[part] for part in PARTS}
        assert of_office["issued"] in {parts["issued"] - parts["split"], parts["issued"]}
        assert all(f"{parts[part]:f}" in paper for part in PARTS for paper in papers)
        newest = table_of_entries(visit("officer", f"/office/entries?account=voucher/{jti}&format=csv"))
        assert Decimal(newest[ZH["balance"]]) == parts["available"] + parts["held"]
        assert Decimal(newest[ZH["on_hold"]]) == parts["held"] == held_there[jti]
    everything = table_of(visit("officer", f"/office/vouchers?scheme={SCHEME}&unit=CNY&format=csv"))
    metrics = browser.get("/metrics").text
    for part in ("issued", *PARTS):
        [said] = re.findall(rf'^voucher_budget_yuan{{scheme="{SCHEME}",state="{part}"}} (\S+)', metrics, re.MULTILINE)
        assert float(said) == pytest.approx(float(sum(Decimal(row[ZH[part]]) for row in everything)), abs=1e-6), part


def table_of_entries(answer):
    """The newest entry of an account."""
    return next(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
