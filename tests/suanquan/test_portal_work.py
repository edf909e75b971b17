"""Pages on which people act: settlement with four eyes, statements and proofs, energy, members, cases and the clock.

What each sees is its own; what is refused is said on the page with everything typed still there.
"""

import csv
import html
import io
import json
import re
from hashlib import sha256
from urllib.parse import urlencode

import httpx2
import pytest

from ledger.errors import LedgerError
from suanquan.http.auth import COOKIE
from suanquan.portal.work_text import NAMES, TEXTS
from suanquan.settings import load_settings
from suanquan.use_cases.statements import statement_object
from tests.back_ends import rows
from tests.suanquan.site import VISITS, made_site
from tests.suanquan.test_portal import CJK, FROM_HERE, HOLDER, PORTAL, words
from tests.suanquan.test_tenants import told
from voucher.holder import sandbox_uscc

ZH = TEXTS["zh"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with made_site(tmp_path_factory.mktemp("work")) as site:
        yield site


@pytest.fixture(scope="module")
def visit(site):
    """`visit(who, path, data, files)`: the page that somebody gets, or gets after sending a form."""
    with httpx2.Client(base_url=site.url, headers=FROM_HERE, timeout=60) as client:

        def go(who, path, data=None, files=None):
            cookie = {"Cookie": f"{COOKIE}={site.tokens[who]}"} if who else {}
            if data is None:
                return client.get(path, headers=cookie)
            return client.post(path, data=data, files=files, headers=cookie)

        yield go


_SETTLED = "SELECT audience, data FROM notice WHERE kind = 'settlement.step' ORDER BY number"
_TOLD = [
    ("office", "prepare"),
    *(("office", "approve"), ("centre:sj01", "approve"), ("office", "pay"), ("centre:sj01", "pay")),
]
"""Who is told of which step of a batch."""


def shown(page):
    return html.unescape(words(page.text))


def test_a_batch_goes_from_one_person_to_the_next(site, visit):
    """Prepared by one, completed, approved by another with four eyes, paid by finance; each name is that of the log's fact."""
    path = f"/settlements/{site.batch}"
    mine = visit("department", path)
    assert ZH["another_person"].format(person="department") in shown(mine)
    assert "林" in shown(mine).partition(ZH["able_others"])[2], "it can go to somebody by name"
    assert f"{path}/approve" not in mine.text
    assert visit("department", f"{path}/approve", {}).status_code == 403, "the use case refuses it besides"
    lacking = visit("林", f"{path}/approve", {})
    assert lacking.status_code == 422
    assert ZH["paper_invoice"] in shown(lacking)
    wrong = {"kind": "invoice", "number": "26312000", "issuer": "x", "amount_yuan": "一百二十"}
    refused = visit("department", f"{path}/evidence", wrong, {"sha256:file": ("发票.pdf", b"%PDF invoice")})
    assert refused.status_code == 422
    assert 'value="一百二十"' in refused.text
    assert sha256(b"%PDF invoice").hexdigest() in refused.text, "the file need not be chosen again"
    invoice = wrong | {"issuer": sandbox_uscc(9), "amount_yuan": "120"}
    assert (
        visit("department", f"{path}/evidence", invoice, {"sha256:file": ("发票.pdf", b"%PDF invoice")}).status_code
        == 303
    )
    assert visit("department", f"{path}/certify", {}).status_code == 303
    proof = {"kind": "payment_proof", "name": "回单", "sha256": "0" * 64}
    assert visit("department", f"{path}/evidence", proof).status_code == 303
    payee(visit)
    assert visit("林", f"{path}/approve", {}).status_code == 303
    assert visit("林", f"{path}/pay", {"paid_on": "2026-11-20", "reference": "R-1"}).status_code == 403
    assert visit("何", f"{path}/pay", {"paid_on": "20.11.", "reference": "R-1"}).status_code == 422
    assert visit("何", f"{path}/pay", {"paid_on": "2026-11-20", "reference": "R-1"}).status_code == 303
    told = shown(visit("officer", path))
    history = told[told.index(ZH["history_note"]) : told.index(ZH["lines_of_batch"])]
    said = ["prepare", "evidence", "evidence", "evidence", "approve", "pay"]
    assert re.findall("编制|登记材料|批准|支付", history) == [ZH[f"fact_kind_{kind}"] for kind in said]
    assert history.index("department") < history.index("林") < history.index("何")
    told_of = rows(site.home.place(load_settings(site.home.settings_file)), _SETTLED)
    step = [(audience, f'"step": "{name}"') for audience, name in _TOLD]
    assert [(audience, next(part for _, part in step if part in data)) for audience, data in told_of] == step
    receipt = re.findall(r'href="(/office/receipts/[0-9a-f]{32})"', visit("officer", path).text)[0]
    assert visit("officer", receipt).text.startswith("c2sp.org/tlog-proof")
    demanded(visit, path)


def demanded(visit, path):
    """No more than was paid; the demand names who has it; finance records what came back; the history has both."""
    page = visit("department", path)
    assert ZH["demand_kept"].partition("{")[0] in page.text
    assert f"{path}/recover" not in page.text
    wrong = {"amount_yuan": "120.01", "reason": "独有的理由"}
    refused = visit("department", f"{path}/demand", wrong)
    assert (refused.status_code >= 400, "独有的理由" in refused.text, "not-enough" not in refused.text) == (
        True,
        True,
        True,
    )
    assert visit("department", f"{path}/demand", wrong | {"amount_yuan": "一百"}).status_code == 422
    assert visit("何", f"{path}/demand", wrong | {"amount_yuan": "20"}).status_code == 403
    assert visit("department", f"{path}/demand", wrong | {"amount_yuan": "20"}).status_code == 303
    stands = shown(visit("何", path))
    assert ZH["whose_demanded"] in stands
    assert ZH["demanded_by"].format(amount="20.00", person="department", reason="独有的理由") in stands
    assert visit("何", f"{path}/recover", {"amount_yuan": "20.01", "reference": "R-2"}).status_code >= 400
    assert visit("何", f"{path}/recover", {"amount_yuan": "20", "reference": "R-2"}).status_code == 303
    told = shown(visit("officer", path))
    assert ZH["fact_kind_demand"] in told
    assert ZH["fact_kind_recover"] in told
    assert f"{ZH['recovered_yuan']} 20.00" in told


def payee(visit):
    """Details of a payee by one person, confirmed by another on the page."""
    details = {"name": "松江", "uscc": sandbox_uscc(9), "account": "62220202001", "bank": "工行", "bank_code": "1" * 12}
    given = {"act": "set", "payee": "centre:sj01"} | details
    assert visit("何", "/payees", given | {"account": "1"}).status_code == 422
    assert visit("何", "/payees", given).status_code == 303
    assert ZH["another_person"].format(person="何") in html.unescape(visit("何", "/payees").text)
    assert visit("何", "/payees", {"act": "confirm", "payee": "centre:sj01"}).status_code == 403
    assert visit("许", "/payees", {"act": "confirm", "payee": "centre:sj01"}).status_code == 303
    assert ZH["payee_confirmed"] in visit("许", "/payees").text


def test_a_batch_is_prepared_from_the_page(site, visit):
    """A period that is not over, or nothing due, is said; what was chosen stays. A centre has no such form, and no one else's batch."""
    wanted = {"scheme": "cn-sh-songjiang-sandbox", "payee": "centre:sj01", "period": "2026Q4"}
    refused = visit("department", "/settlements", wanted)
    assert (refused.status_code, 'value="2026Q4"' in refused.text) == (409, True)
    assert visit("centre", "/settlements", wanted).status_code == 403
    own = visit("centre", "/settlements")
    assert site.batch in own.text
    assert "<select" not in own.text
    assert ZH["no_batches"] in visit("holder", "/settlements").text
    foreign, missing = (visit("holder", f"/settlements/{name}") for name in (site.batch, "B2026Q3-0099"))
    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert site.batch not in visit("centre", "/settlements?find=nothing-like-it").text


@pytest.mark.parametrize(("who", "path"), [("officer", "/office/queue"), ("centre", "/statements")])
def test_a_long_list_is_sought_and_ordered_by_what_it_shows(visit, who, path):
    """Rows whose cells are made when they are shown: each cell's text finds its row, each column orders, and a file has them all."""
    first, *rows = csv.reader(io.StringIO(visit(who, f"{path}?format=csv").content.decode("utf-8-sig")))
    names = re.findall(r'name="columns" value="(\w+)"', visit(who, path).text)
    assert rows
    for text in {cell for row in rows for cell in row if cell}:
        found = shown(visit(who, f"{path}?{urlencode({'find': text})}"))
        assert ZH["no_match"].format(find=text) not in found, text
    assert ZH["no_match"].format(find="nowhere") in shown(visit(who, f"{path}?find=nowhere"))
    for name in names:
        for sort in (name, f"-{name}"):
            assert (
                f'aria-sort="{"descending" if sort != name else "ascending"}"'
                in visit(who, f"{path}?sort={sort}&columns={name}").text
            )
    assert len(first) <= len(names)


def test_a_centre_sees_one_month_of_statements_at_a_time(visit):
    """The newest first; the others by their addresses; a month that there is not is the newest."""
    newest, older = visit("centre", "/statements").text, visit("centre", "/statements?month=2026-09").text
    assert "/statements/sj01/covered/2026-11" in newest
    assert "/statements/sj01/covered/2026-09" not in newest
    assert "/statements/sj01/covered/2026-09" in older
    assert 'month=2026-09" aria-current="page"' in older
    assert "/statements/sj01/covered/2026-11" in visit("centre", "/statements?month=x").text
    assert "/statements/sj01/covered/2026-09" in visit("holder", "/statements").text


NOTHING = {
    "batch": "B2026Q3-0099",
    "account": "nobody",
    "number": "999999",
    "jti": "00000000-0000-7000-8000-000000000000",
}
WORK = {
    "/settlements/{batch}": "batch",
    "/v1/settlements/{batch}": "batch",
    "/v1/settlements/{batch}/lines": "batch",
    "/v1/settlements/{batch}/bundle": "batch",
    "/statements/sj01/{account}/2026-11": "account",
    "/usage/line?batch={number}&record=job:000012": "number",
    "/usage/line?batch={number}&record=job:000012&format=jwt": "number",
    "/vouchers/{jti}": "jti",
    "/vouchers/{jti}/code.svg": "jti",
}
"""Pages and files about one thing, and which part of the address names it."""


@pytest.mark.parametrize("person", ["other centre", "stranger"])
def test_the_work_of_another_is_as_missing(site, visit, person):
    """What belongs to a centre and a company is shown to them; another centre and another company get, to the byte, what they get of nothing."""
    there = {"batch": site.batch, "account": "covered", "number": str(site.number), "jti": site.jti}
    for path, name in WORK.items():
        mine = [visit(who, path.format(**there)).status_code for who in ("centre", "holder")]
        assert 200 in mine, path
        foreign, missing = visit(person, path.format(**there)), visit(person, path.format(**NOTHING))
        assert foreign.status_code >= 400, path
        assert told(foreign, there[name]) == told(missing, NOTHING[name]), path
    for act in ("evidence", "certify", "approve", "pay"):
        foreign, missing = (visit(person, f"/settlements/{one}/{act}", {}) for one in (site.batch, NOTHING["batch"]))
        assert foreign.status_code == 403
        assert told(foreign, site.batch) == told(missing, NOTHING["batch"]), act
    assert site.batch not in visit(person, "/settlements").text


def test_a_statement_and_its_proofs_are_for_the_holder(site, visit):
    """Months lead to a statement, its entries to proofs that the page Verify takes; another's is as one that is not there."""
    listed = visit("holder", "/statements")
    path = re.search(r'href="(/statements/sj01/covered/2026-11)"', listed.text)[1]
    month = visit("holder", path)
    assert "4,320.00" in month.text
    proof = visit("holder", re.search(rf'href="({path}/[0-9a-f]{{32}}\.tlog-proof)"', month.text)[1])
    assert ZH["matches"] in visit(None, "/verify", {"pasted": proof.text}).text
    download = visit("holder", re.search(r'href="(/v1/statements/[^"]+)"', month.text)[1])
    assert download.json()["yuan"] == "4320.000000"
    assert visit("centre", path).status_code == 200
    assert visit("holder", f"{path}/{'0' * 32}.tlog-proof").status_code == 404
    for wrong in (
        "/statements/sj01/nobody/2026-11",
        "/statements/sj01/covered/2026-13",
        "/statements/sj02/covered/2026-11",
    ):
        assert visit("holder", wrong).status_code == 404
    assert "covered" in visit("officer", "/statements?centre=sj01").text
    assert ZH["choose_centre"] in visit("officer", "/statements").text


def test_a_line_has_its_receipt(site, visit):
    """The signed receipt of a line and the proof of the entry that paid it; of a stranger's line there is none."""
    line = f"/usage/line?batch={site.number}&record=job:000012"
    page = visit("holder", line)
    assert "480.00" in page.text
    assert visit("holder", f"{line}&format=jwt").text.count(".") == 2
    proof = html.unescape(re.search(r'href="(/usage/line/\d+\.tlog-proof[^"]+)"', page.text)[1])
    assert visit("holder", proof).text.startswith("c2sp.org/tlog-proof")
    assert visit("holder", re.sub(r"/line/\d+", "/line/0", proof)).status_code == 404
    assert visit("stranger", line).status_code == visit("holder", f"{line}9").status_code == 404
    assert html.escape(line.replace("job:", "job%3A")) in visit("holder", "/usage").text


def test_a_vouchers_whole_statement_is_checked_offline(site, visit):
    """What its holder downloads proves to be complete by the log's keys alone; a stranger gets none."""
    data = visit("holder", f"/vouchers/{site.jti}/statement", {})
    assert data.headers["content-disposition"].endswith('-statement.json"')
    checked = statement_object(data.content, site.policy())
    assert (checked["ok"], checked["account"]) == (True, f"voucher/{site.jti}")
    changed = json.loads(data.content)
    changed["lines"] = changed["lines"][1:]
    with pytest.raises(LedgerError):
        statement_object(json.dumps(changed).encode(), site.policy())
    assert visit("stranger", f"/vouchers/{site.jti}/statement", {}).status_code == 404


def test_holds_and_prices_are_told(site, visit):
    """A centre sees what it holds, a holder what is held of his; states are told apart; prices have their basis."""
    for who in ("centre", "holder", "officer"):
        assert "25.00" in visit(who, "/holds?state=open").text
    assert ZH["no_holds_of_state"] in visit("centre", "/holds?state=expired").text
    assert ZH["no_holds"] in html.unescape(visit("stranger", "/holds").text)
    assert "12.00" in visit(None, "/prices").text
    assert visit("centre", "/prices?format=csv").text.startswith("\ufeff")


def test_a_centre_reports_its_energy(site, visit):
    """A month with its bill; what cannot be is said and what was typed stays; another centre's is not reported."""
    typed = {"month": "2026-09", "total_kwh": "1,310,000", "it_kwh": "1000000", "green_kwh": "131000", "evidence": ""}
    refused = visit("centre", "/energy", typed | {"it_kwh": "很多"}, {"evidence:file": ("电费单.pdf", b"%PDF bill")})
    assert (refused.status_code, 'value="1,310,000"' in refused.text) == (422, True)
    assert sha256(b"%PDF bill").hexdigest() in refused.text
    assert visit("centre", "/energy", typed).status_code == 422, "no evidence"
    assert (
        visit("centre", "/energy", typed | {"centre": "sj02"}, {"evidence:file": ("b.pdf", bytes(700_000))}).status_code
        == 303
    )
    assert "1.310000" in visit("centre", "/energy").text
    assert "1.310000" in visit("department", "/energy?centre=sj01").text
    assert visit("officer", "/energy", typed | {"centre": "sj99", "evidence": "ab" * 32}).status_code == 404


def test_members_are_invited_and_ended(site, visit):
    """The secret is shown once and not kept by browsers; roles of others are refused; sub-vouchers name their parent."""
    made = visit("holder", "/members", {"name": "张三", "role": "beneficiary_member"})
    assert made.status_code == 201
    assert "no-store" in made.headers["cache-control"]
    secret = re.search(r'<code class="hash">(.+?)</code>', made.text)[1]
    page = visit("holder", "/members").text
    assert secret not in page
    assert "/张三" in page
    refused = visit("holder", "/members", {"name": "李四", "role": "auditor"})
    assert (refused.status_code, "李四" in refused.text) == (422, True)
    assert f"{HOLDER}/张三" not in visit("stranger", "/members").text
    name = re.search(r'name="name" value="([^"]+/张三)"', page)[1]
    assert visit("stranger", "/members/end", {"name": name}).status_code == 404
    assert visit("holder", "/members/end", {"name": name}).status_code == 303
    assert ZH["account_ended"] in visit("holder", "/members").text
    assert "100.00" in page


def test_officers_take_steps_on_the_page(site, visit):
    """The expert has the form, who reviewed first is told why not; what is refused keeps what was typed; the log has the person."""
    path = f"/applications/{site.application}"
    assert ZH["your_turn"] not in visit("officer", path).text
    assert f"{path}/steps/record_review" not in visit("林", path).text
    expert = visit("专家组", path)
    assert f"{path}/steps/record_review" in expert.text
    wrong = {"method": "experts", "opinion": "独有的意见", "score": "a"}
    refused = visit("专家组", f"{path}/steps/record_review", wrong)
    assert (refused.status_code, "独有的意见" in refused.text) == (422, True)
    assert visit("林", f"{path}/steps/record_review", wrong | {"score": "86"}).status_code == 403
    assert visit("stranger", f"{path}/steps/withdraw", {"reason": "x"}).status_code == 404
    assert visit("专家组", f"{path}/steps/record_review", wrong | {"score": "86.5"}).status_code == 303
    told = shown(visit("holder", path))
    assert re.search(r"专家组 评审 [\d: -]+ .{,80}独有的意见", told), told
    assert visit("专家组", f"{path}/steps/record_review", wrong | {"score": "86.5"}).status_code in {303, 409}


def test_the_clock_is_for_sandboxes(site, visit):
    """A span that is none is said; who may not set it sees the day and who may."""
    refused = visit("department", "/clock", {"span": "-1d"})
    assert (refused.status_code, 'value="-1d"' in refused.text) == (422, True)
    assert ZH["clock_by"] in html.unescape(visit("holder", "/clock").text)
    assert visit("holder", "/clock", {"span": "1d"}).status_code == 403
    assert visit("department", "/clock", {"span": "2d"}).status_code == 303
    assert ZH["ahead_days"].format(days=2, hours=0) in shown(visit("holder", "/clock"))


def test_no_page_needs_scripts_or_another_host(site, visit):
    """Every page but that of the API: what is told is there without a script, which are files of ours alone; no handler, nothing from elsewhere."""
    for name, (who, path) in VISITS.items():
        page = visit(who, path.format(**site._asdict()))
        assert page.status_code == 200, name
        if name == "docs":
            continue
        assert page.headers["content-security-policy"].startswith("default-src 'none'"), name
        assert "unsafe" not in page.headers["content-security-policy"], name
        assert not re.search(r'<script(?! src="/static/)|<iframe|<object|javascript:|\son\w+=', page.text), name
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page.text), name


PAGES = [
    *(("holder", path) for path in ("/statements", "/statements/sj01/covered/2026-11", "/members")),
    *(("centre", path) for path in ("/holds", "/settlements", "/prices", "/energy")),
    *(("department", path) for path in ("/payees", "/clock")),
]


def test_every_page_is_whole_in_english(visit):
    """No Chinese stands on an English page but names, titles and words of texts."""
    for who, path in PAGES:
        page = visit(who, f"{path}?lang=en")
        assert page.status_code == 200, path
        english = re.sub(r'<(\w+)[^>]*lang="zh-CN".*?</\1>', " ", page.text, flags=re.DOTALL)
        for name in ("松江智算中心", "中文", "张三", "松江", "工行", "何", "许", "价目表"):
            english = english.replace(name, "")
        left = re.sub(r'<td data-label="Basis">.*?</td>', " ", english, flags=re.DOTALL)
        assert not CJK.findall(words(left)), (path, CJK.findall(words(left)))


def test_every_text_stands_in_both_languages():
    """No key lacks a language, placeholders agree, and each is used: by name, or built of a prefix and a value of the code."""
    used = "".join(path.read_text("utf-8") for path in [*PORTAL.glob("templates/**/*.html"), *PORTAL.glob("[!t]*.py")])
    used = used.replace((PORTAL / "work_text.py").read_text("utf-8"), "")
    built = re.compile(
        "(batch|whose|next|act|do|fact_kind|line|payee|paper|hold|settled|account|input|word|effect|claim)_"
    )
    for key in NAMES:
        chinese, english = TEXTS["zh"][key], TEXTS["en"][key]
        assert not CJK.search(english), key
        assert sorted(re.findall(r"{\w*}", chinese)) == sorted(re.findall(r"{\w*}", english)), key
        assert re.search(rf"\bt\.{key}\b|\"{key}\"", used) or built.match(key), key
