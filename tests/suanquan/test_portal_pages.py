"""Pages of holders and centres: what each sees of its own, that nothing of another's is there, and forms that lose nothing."""

import asyncio
import contextlib
import html
import re
import sqlite3
from hashlib import sha256

import httpx2
import pytest

from suanquan.db.tokens import create_token
from suanquan.home import Home
from suanquan.portal.apply_text import TEXTS as APPLY_TEXTS
from suanquan.portal.text import TEXTS
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup
from suanquan.use_cases.officers import add_officer
from tests.suanquan.bureau import Bureau, MovedService
from tests.suanquan.harness import PASSPHRASE as WORDS
from tests.suanquan.test_portal import (
    CJK,
    FROM_HERE,
    HOLDER,
    JTI,
    NAMES,
    PASSPHRASE,
    fill,
    make,
    visiting,
    with_token,
    words,
)
from tests.subsidy.procedure_samples import COMPANY, OFFICERS, Clock
from tests.voucher.application_samples import APPLICANT, CALL, CONTRACT_SHA256, contract
from voucher.holder import sandbox_uscc

STRANGER = sandbox_uscc(7)
ZH, APPLY = TEXTS["zh"], APPLY_TEXTS["zh"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A home with figures, and tokens of a holder, of a stranger, of a centre and of another centre."""
    home = make(tmp_path_factory.mktemp("pages") / "home", sandbox=True)

    async def tokens():
        await fill(home)
        async with open_service(home, PASSPHRASE) as service, service.database.write() as connection:
            return {
                name: await create_token(connection, role, name, service.now_us, tenant=tenant)
                for name, role, tenant in (
                    ("holder", "beneficiary_admin", HOLDER),
                    ("stranger", "beneficiary_admin", STRANGER),
                    ("centre", "centre_operator", "sj01"),
                    ("elsewhere", "centre_operator", "sj02"),
                    ("auditor", "auditor", ""),
                )
            }

    return home, asyncio.run(tokens())


async def get(filled, who, path):
    async with visiting(filled[0]) as client:
        return await client.get(path, headers=with_token(filled[1][who]) if who else {})


OWN = [
    ("holder", "/vouchers"),
    ("holder", "/usage"),
    ("holder", "/applications"),
    ("centre", "/centre"),
    ("centre", "/centre/quarantine"),
    (None, "/subsidies"),
    (None, "/login"),
]


@pytest.mark.parametrize(("who", "path"), OWN)
async def test_a_page_is_whole_in_both_languages(filled, who, path):
    """It answers, names itself, links to the other language, and no English page has Chinese beside names and quotes."""
    for language, query in (("zh", ""), ("en", "?lang=en")):
        answer = await get(filled, who, path + query)
        assert answer.status_code == 200, answer.text
        assert f'lang="{TEXTS[language]["language"]}"' in answer.text
        if language == "en":
            english = re.sub(r'<(\w+)[^>]*lang="zh-CN".*?</\1>', " ", answer.text, flags=re.DOTALL)
            for name in (*NAMES, "中文"):
                english = english.replace(name, "")
            assert not CJK.findall(words(english))
            assert 'href="/' in answer.text


@pytest.mark.parametrize("path", ["/vouchers", "/usage", "/applications", "/centre", "/centre/quarantine"])
async def test_what_belongs_to_somebody_asks_who_is_there(filled, path):
    """Without a token: refused, and the way to sign in that leads back."""
    answer = await get(filled, None, path)
    assert answer.status_code == 401
    assert f"/login?next={path.replace('/', '%2F')}" in answer.text


async def test_a_holder_sees_his_vouchers_and_their_identity(filled):
    """Sums by unit, the voucher with its code and forecast; a stranger sees nothing of it, nor learns that it is there."""
    page = await get(filled, "holder", "/vouchers")
    assert "100,000.50" in page.text
    [jti] = set(JTI.findall(page.text))
    shown = await get(filled, "holder", f"/vouchers/{jti}")
    assert ZH["forecast_unknown"] in shown.text
    assert "99,760.50" in shown.text
    code = await get(filled, "holder", f"/vouchers/{jti}/code.svg")
    assert (code.headers["content-type"], code.text[:5]) == ("image/svg+xml", "<?xml")
    assert not JTI.search((await get(filled, "stranger", "/vouchers")).text)
    assert ZH["no_voucher_of_yours"] in (await get(filled, "stranger", "/vouchers")).text
    for path in (f"/vouchers/{jti}", f"/vouchers/{jti}/code.svg", "/vouchers/no-such"):
        assert (await get(filled, "stranger", path)).status_code == 404


async def test_a_list_is_what_its_address_says(filled):
    """Search, columns, sort and export come from the URL; no match and nothing yet are two things."""
    page = (await get(filled, "holder", "/vouchers?find=CNY-nowhere")).text
    assert ZH["no_match"].format(find="CNY-nowhere") in page
    assert ZH["no_voucher_of_yours"] not in page
    chosen = (await get(filled, "holder", "/vouchers?columns=jti&columns=issued&sort=-issued")).text
    assert 'aria-sort="descending"' in chosen
    assert '<th scope="col" class="n"><a href="/vouchers?sort=held' not in chosen
    file = await get(filled, "holder", "/vouchers?columns=jti,issued&format=csv")
    assert file.headers["content-type"] == "text/csv; charset=utf-8"
    heading, row = file.text.removeprefix("\ufeff").splitlines()
    assert heading == f"{ZH['jti']},{ZH['issued']}"
    assert row.endswith(",100000.500000")
    hostile = (await get(filled, "holder", "/vouchers?find=%3Cscript%3E&part=99999999&sort=drop&columns=x")).text
    assert "<script>" not in hostile


async def test_a_line_is_disputed_once_and_by_its_owner(filled):
    """The form comes from the line's link; the line is marked afterwards; a stranger's attempt is refused with what was typed."""
    page = (await get(filled, "holder", "/usage")).text
    assert "job:000001" in page
    batch = re.search(r"batch=(\d+)&amp;record=job%3A000001", page)[1]
    line = {"centre": "sj01", "account": "covered", "batch": batch, "record": "job:000001"}
    async with visiting(filled[0]) as client:
        mine, other = ({**FROM_HERE, **with_token(filled[1][who])} for who in ("holder", "stranger"))
        refused = await client.post("/usage/disputes", data=line | {"reason": "不是我们"}, headers=other)
        assert refused.status_code == 422
        assert ZH["dispute_unknown"] in refused.text
        empty = await client.post("/usage/disputes", data=line | {"reason": " "}, headers=mine)
        assert (empty.status_code, ZH["dispute_reason"] in empty.text) == (422, True)
        assert 'value="job:000001" readonly' in empty.text
        done = await client.post("/usage/disputes", data=line | {"reason": "多算了一小时"}, headers=mine)
        assert done.status_code == 303, done.text
        again = await client.post("/usage/disputes", data=line | {"reason": "多算了一小时"}, headers=mine)
        assert (again.status_code, "dispute-open" in again.text) == (409, True)
        marked = (await client.get(done.headers["location"], headers=mine)).text
        assert f'<span class="tag">{ZH["disputed"]}</span>' in marked


async def test_a_page_leaves_one_row_and_an_act_its_own(filled):
    """An official's look at a page is one row of the audit log; who may only read disputes nothing on a page either."""
    async with visiting(filled[0]) as client:
        official = {**FROM_HERE, **with_token(filled[1]["auditor"])}
        for path in ("/office", "/usage?centre=sj01&account=covered"):
            before = rows_of(filled[0])
            assert (await client.get(path, headers=official)).status_code == 200
            assert len(rows_of(filled[0])) == len(before) + 1
        line = {"centre": "sj01", "account": "covered", "batch": "1", "record": "job:000001", "reason": "x"}
        refused = await client.post("/usage/disputes", data=line, headers=official)
        assert (refused.status_code, "not-permitted" in refused.text) == (403, True)


def rows_of(home):
    """Actions of the audit log."""
    with contextlib.closing(sqlite3.connect(home.database)) as connection:
        return connection.execute("SELECT action FROM audit_row").fetchall()


async def test_a_centre_sees_its_reports_and_what_waits(filled):
    """Cards, hours and the record with an unknown card, with what to do; another centre sees its own alone."""
    page = words((await get(filled, "centre", "/centre")).text)
    assert NAMES[0] in page
    assert "A100 8 50.00" in page
    waits = (await get(filled, "centre", "/centre/quarantine")).text
    assert "job:000003" in waits
    assert ZH["do_held"] in waits
    assert "job:000003" not in (await get(filled, "elsewhere", "/centre/quarantine")).text
    assert NAMES[0] not in (await get(filled, "elsewhere", "/centre")).text


async def test_questions_lead_to_clauses(filled):
    """An answer stands in the address and changes what is asked next; a wrong one is said and the others stay."""
    first = (await get(filled, None, "/subsidies")).text
    asked = re.search(r'name="([a-z_.0-9]+)"[^>]*(?:value="[^"]*" )?required', first)[1]
    wrong = await get(filled, None, f"/subsidies?{asked}=%3Cscript%3E")
    assert "<script>" not in wrong.text
    assert wrong.status_code in {200, 422}
    skipped = (await get(filled, None, f"/subsidies?skip={asked}")).text
    assert f'name="{asked}"' not in skipped
    assert first.count('<th scope="row">') > 10


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_signing_in_leads_to_our_pages_alone(filled, target):
    """Whatever the address says."""
    async with visiting(filled[0]) as client:
        typed = {"token": filled[1]["holder"]}
        answer = await client.post("/login", params={"next": target}, data=typed, headers=FROM_HERE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/vouchers")
        answer = await client.post("/login", params={"next": "/usage"}, data=typed, headers=FROM_HERE)
        assert answer.headers["location"] == "/usage"


@contextlib.contextmanager
def made_bureau(folder):
    """A home with a company that may apply, served until the end of the block."""
    clock, home = Clock(), Home(folder / "home")
    setup.initialise(home, Settings(sandbox=True), WORDS, clock)
    with MovedService(home, clock) as service:
        bureau = Bureau(home, clock, service, folder)

        async def register():
            for actor in (*OFFICERS, COMPANY):
                bureau.tokens[actor.person] = await add_officer(
                    service.service.journal, clock, actor.person, actor.role.value
                )

        service.call(register())
        yield bureau


@pytest.fixture
def bureau(tmp_path):
    """Such a home of a test's own."""
    with made_bureau(tmp_path) as bureau:
        yield bureau


def form(**changes):
    """What a company types."""
    deal = contract()
    return {
        "applicant_name": "松江某某科技有限公司",
        "project": "行业模型训练",
        **{f"contract.{name}": deal[name] for name in ("number", "provider", "signed_on", "starts_on", "ends_on")},
        "contract.yuan": "200000",
        "contract.sha256": CONTRACT_SHA256,
        "beneficiary.related_to_provider": "no",
        **{
            f"material.{name}.{flag}": "yes"
            for name in ("application_form", "business_licence_copy", "service_contract", "credit_report")
            for flag in ("sealed", "matches_original")
        },
        "material.credit_report.bad_record": "no",
    } | changes


def test_a_company_applies_on_the_page(bureau):
    """All at once, as the last page sends it: faults stand at their fields and nothing typed is lost; a check submits nothing; sent twice it is one application."""
    round_ = bureau.http("POST", "/v1/rounds", "方", CALL).content["id"]
    files = {
        f"material.{name}:file": (f"{name}.pdf", f"%PDF {name}".encode())
        for name in ("application_form", "business_licence_copy", "credit_report")
    }
    with httpx2.Client(base_url=bureau.service.url, headers=FROM_HERE | with_token(bureau.tokens[APPLICANT])) as client:
        listed = client.get("/applications").text
        address = html.unescape(re.search(r'href="(/applications/new[^"]+)"', listed)[1])
        assert round_ in address
        assert client.get(address).status_code == 200
        wrong = form(**{"contract.yuan": "二十万", "contract.sha256": "x", "project": "独有的项目名"})
        refused = client.post(address, data=wrong, files=files)
        assert refused.status_code == 422
        assert 'href="#contract.sha256"' in refused.text, "on the first page that something is wrong on"
        assert 'href="#contract.yuan"' not in refused.text
        assert 'value="独有的项目名"' in refused.text
        assert 'value="二十万"' in refused.text
        assert sha256(b"%PDF application_form").hexdigest() in refused.text, "the file need not be chosen again"
        checked = client.post(address, data=form(act="check"), files=files)
        assert (checked.status_code, APPLY["precheck_reasons"] in checked.text) == (200, True)
        assert "100000" in checked.text
        assert ZH["no_applications"] in client.get("/applications").text
        sent = [client.post(address, data=form(act="submit"), files=files) for _ in range(2)]
        assert [one.status_code for one in sent] == [303, 303], sent[0].text
        assert sent[0].headers["location"] == sent[1].headers["location"]
        shown = client.get(sent[0].headers["location"]).text
        assert ZH["acts_department"] in shown
        assert "已申领，待初审" in shown
        foreign = client.post(address, data=form(), files=files, headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403
    assert "行业模型训练" not in words(bureau.http("GET", "/notices").content.decode())
