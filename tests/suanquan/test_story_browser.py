"""The whole story in a real browser: a university applies and spends, a centre finds a gap and is paid, the commission follows a figure.

Every act of a person is on a page; usage comes from the real agent, and the statement is checked by the command line. The
sandbox's clock is moved on its page. `SUANQUAN_TEST_PICTURES` names a folder to keep a picture of each step in.
"""

import json
import time
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from ledger.ed25519 import PublicKey
from metering.instants import parse_instant
from suanquan.clock import SandboxClock
from suanquan.db.tokens import create_token
from suanquan.home import Home
from suanquan.note_keys import load_verifier_keys
from suanquan.settings import Settings
from suanquan.use_cases import setup
from suanquan.use_cases.officers import add_officer
from tests.conftest import ALL
from tests.suanquan.browsing import NEEDS_CHROMIUM, Visits, keep_png, launched
from tests.suanquan.bureau import MovedService
from tests.suanquan.command import suanquan
from tests.suanquan.harness import PASSPHRASE, request
from tests.subsidy.procedure_samples import OFFICERS
from tests.voucher.application_samples import CALL, CONTRACT_SHA256, SCHEME, contract
from voucher.holder import sandbox_uscc

pytestmark = NEEDS_CHROMIUM

CALLED = "2025-09-01T09:00:00+08:00"
UNIVERSITY = sandbox_uscc(1)
ACCOUNT = "lab"
JOBS = """JobIDRaw|Cluster|Account|Start|End|ElapsedRaw|State|AllocTRES
1|sj01|lab|2025-09-23T02:00:00|2025-09-23T12:00:00|36000|COMPLETED|gres/gpu:a100=2
2|sj01|lab|2025-09-23T03:00:00|2025-09-23T08:00:00|18000|COMPLETED|gres/gpu:a100=4
3|sj01|lab|2025-09-23T09:00:00|2025-09-23T15:00:00|21600|COMPLETED|gres/gpu:a100=1
"""
"""20, 20 and 6 hours of a card, of 12 yuan each; the third job is what is missing at first."""


class StoryClock(SandboxClock):
    """A sandbox's clock that is at a day of the story and goes on from there; the time outside is today's."""

    def __init__(self, file, text):
        super().__init__(file)
        self._from_today_ns = parse_instant(text) * 1000 - time.time_ns()

    @property
    def ahead_ns(self):
        return super().ahead_ns + self._from_today_ns


class Town(NamedTuple):
    """The installation of the story: its service, tokens by person, a folder of the centre, and the language of its pages."""

    service: MovedService
    home: Home
    tokens: dict
    folder: object
    visits: Visits
    language: str

    def open(self, who, path):
        """Somebody's page."""
        page = self.visits.open(self.tokens[who])
        self.go(page, path)
        return page

    def go(self, page, path):
        """Go to a page, in the language of the story."""
        asked = f"{'&' if '?' in path else '?'}lang=en" if self.language == "en" else ""
        answer = page.goto(f"{self.service.url}{path}{asked}")
        assert answer.status == 200, page.content()

    def keep(self, page, name):
        """A picture of the step."""
        keep_png(page, f"{name}-{self.language}")

    def agent(self, *arguments):
        """The centre's own program."""
        return suanquan("agent", *arguments, "--json", cwd=self.folder)


@contextmanager
def made_town(folder, language):
    """The service first: a browser that is driven from here runs a loop of its own in this thread."""
    home = Home(folder / "home")
    clock = StoryClock(home.sandbox_clock, CALLED)
    setup.initialise(home, Settings(sandbox=True), PASSPHRASE, clock)
    with MovedService(home, clock) as service, launched() as browser:
        tokens = service.call(_people(service.service))
        visits = Visits(browser, service.url)
        yield Town(service, home, tokens, folder, visits, language)
        visits.close()
        service.figures()  # the books agree with the log


async def _people(service):
    """Officers, a university, and a centre to which an account of the university is bound."""
    tokens = {
        one.person: await add_officer(service.journal, service.clock_ns, one.person, one.role.value) for one in OFFICERS
    }
    await setup.register_centre(service.journal, service.catalog, "sj01", "松江智算中心", {"A100": 8})
    await setup.bind_account(service.journal, "sj01", ACCOUNT, UNIVERSITY)
    people = {
        "university": ("beneficiary_admin", UNIVERSITY),
        "centre": ("centre_operator", "sj01"),
        "commission": ("finance", ""),
    }
    async with service.database.write() as conn:
        for name, (role, tenant) in people.items():
            tokens[name] = await create_token(conn, role, name, service.now_us, tenant=tenant)
    return tokens


def sent(page, selector):
    """Send the form of a button, and come to the page that follows."""
    with page.expect_navigation():
        page.click(selector)


def advance(town, span):
    """Somebody of the department sets the sandbox's clock forwards on its page; the service follows at once."""
    page = town.open("方", "/clock")
    page.fill("#span", span)
    before = town.service.service.now_us
    sent(page, "form[action^='/clock'] button")
    deadline = time.monotonic() + 30
    while town.service.service.now_us - before < 3_600_000_000:
        assert time.monotonic() < deadline, "the clock was not set"
        time.sleep(0.05)
    town.go(page, "/clock")
    town.keep(page, f"clock-{span}")


def answer(page, typed):
    """The university answers what one page asks."""
    for name, value in typed.items():
        if page.locator(f"[id='{name}']").count():
            page.fill(f"[id='{name}']", value)
    for name in ("application_form", "business_licence_copy", "credit_report"):
        if page.locator(f"[name='material.{name}:file']").count():
            paper = {"name": f"{name}.pdf", "mimeType": "application/pdf", "buffer": f"%PDF {name}".encode()}
            page.set_input_files(f"[name='material.{name}:file']", paper)
    for flag in page.locator(
        "[type=radio][name$='.sealed'][value=yes], [type=radio][name$='.matches_original'][value=yes]"
    ).all():
        flag.check()
    for name in ("beneficiary.related_to_provider", "material.credit_report.bad_record"):
        if page.locator(f"[type=radio][name='{name}'][value=no]").count():
            page.check(f"[type=radio][name='{name}'][value=no]")


def apply(town):
    """The university finds the open round, answers page after page and sends its application; its path."""
    called = request(
        town.service.url,
        "POST",
        "/v1/rounds",
        json.dumps(CALL).encode(),
        {"Authorization": f"Bearer {town.tokens['方']}"},
    )
    assert called.status == 201, called
    page = town.open("university", "/applications")
    sent(page, "a[href^='/applications/new']")
    deal = contract()
    typed = {
        "applicant_name": "松江某某大学",
        "project": "行业模型训练",
        "contract.yuan": "200000",
        "contract.sha256": CONTRACT_SHA256,
    }
    typed |= {f"contract.{name}": deal[name] for name in ("number", "provider", "signed_on", "starts_on", "ends_on")}
    while page.locator("#send").count() == 0:
        answer(page, typed)
        if page.locator("[id='contract.number']").count():
            town.keep(page, "university-1-apply")
        sent(page, "button[value=next]")
        assert page.locator(".alert").count() == 0, page.inner_text("main")
    assert page.locator("#checked").count() == 1, page.inner_text("main")
    town.keep(page, "university-1-check")
    sent(page, "button[value=submit]")
    assert "/applications/R" in page.url, page.inner_text("main")
    town.keep(page, "university-2-progress")
    return page.url.partition(town.service.url)[2].partition("?")[0]


def step(town, who, path, name, **fields):
    """An officer takes a step on the page of the application."""
    page = town.open(who, path)
    page.click(f"#step-{name} summary")
    for field, value in fields.items():
        chosen = page.locator(f"#{name}-{field}")
        if chosen.evaluate("one => one.tagName") == "SELECT":
            chosen.select_option(value)
        else:
            chosen.fill(value)
    town.keep(page, f"commission-{name}")
    sent(page, f"#step-{name} button")
    assert page.locator(".alert").count() == 0, page.inner_text("main")
    return page


def review(town, path):
    """Two officers review it; it is put in the plan, signed by finance, published, and approved by one who did none of it."""
    step(town, "林", path, "pass_preliminary_review", opinion="材料齐全")
    mine = town.open("林", path)
    assert mine.locator("#step-record_review").count() == 0, "what an expert does is not the department's"
    step(town, "专家组", path, "record_review", method="experts", opinion="通过", score="86.5")
    advance(town, "10d")
    step(town, "钱", path, "include_in_plan", amount_yuan="100000.00", basis="办公会纪要 2025-9")
    step(town, "何", path, "agree_list", opinion="同意")
    step(town, "钱", path, "post_notice", address="https://notice.example.cn/v/1")
    public = town.visits.open()
    town.go(public, "/notices")
    assert "行业模型训练" in public.inner_text("main")
    town.keep(public, "public-notice")
    advance(town, "12d")
    barred = town.open("钱", path)
    assert barred.locator("form[action*='steps/approve']").count() == 0, "who put it in the plan does not approve it"
    step(town, "孙", path, "approve", basis="批复 2025-3")


def spend(town):
    """The voucher is there; the centre's agent reports two of three jobs and says that there are three: a gap, which it then fills."""
    page = town.open("university", "/vouchers")
    assert "50,000.00" in page.inner_text("main")
    town.keep(page, "university-3-vouchers")
    advance(town, "1d")
    _connect(town)
    rows = JOBS.splitlines(keepends=True)
    (town.folder / "part.txt").write_text("".join(rows[:3]), "utf-8")
    (town.folder / "jobs.txt").write_text(JOBS, "utf-8")
    file = ("--config", "agent.toml", "--source", "sacct", "--timezone", "UTC")
    assert town.agent("send", "part.txt", *file).status == 0
    assert town.agent("declare", "jobs.txt", *file, "--month", "2025-09").status == 1, "one is missing"
    centre = town.open("centre", "/centre")
    assert centre.locator("#gaps ~ ul li").count() == 1, centre.inner_text("main")
    centre.locator("#gaps").scroll_into_view_if_needed()
    town.keep(centre, "centre-1-gap")
    assert town.agent("send", "jobs.txt", *file).status == 0
    town.go(centre, "/centre")
    assert centre.locator("#gaps ~ ul li").count() == 0, centre.inner_text("main")
    town.keep(centre, "centre-2-complete")


def _connect(town):
    """The centre makes a key for its agent, and the office registers it."""
    made = town.agent("keygen", "agent.pem").json
    service = town.service.service
    town.service.call(setup.register_agent_key(service.journal, "sj01", PublicKey.from_jwk(made)))
    (town.folder / "agent.toml").write_text(
        f'base_url = "{town.service.url}"\ncentre = "sj01"\nsource = "urn:centre:sj01:agent:slurm-1"\n'
        'key_file = "agent.pem"\nspool = "agent.spool"\n',
        "utf-8",
    )


def check(town):
    """The university disputes a line, downloads the whole statement of its voucher, and the command line finds it complete."""
    page = town.open("university", "/usage")
    assert page.locator("a[href*='/usage/line']").count() == 3, page.inner_text("main")
    sent(page, "a[href*='#dispute'] >> nth=0")
    page.fill("#reason", "该作业未运行")
    town.keep(page, "university-4-dispute")
    sent(page, "form[action^='/usage/disputes'] button")
    assert page.locator("tbody .tag").count() == 1, page.inner_text("main")
    town.go(page, "/statements")
    sent(page, "tbody a")
    town.keep(page, "university-5-statement")
    town.go(page, "/vouchers")
    sent(page, "tbody a")
    with page.expect_download() as begun:
        page.click("form[action$='/statement'] button, form[action*='/statement?'] button")
    file = town.folder / "statement.json"
    begun.value.save_as(file)
    keys = [option for key in load_verifier_keys(town.home.log_keys) for option in ("--key", str(key))]
    checked = suanquan("ledger", "check-statement", "statement.json", *keys, "--json", cwd=town.folder)
    assert checked.status == 0, checked.err
    assert (checked.json["ok"], checked.json["account"].split("/")[0]) == (True, "voucher")
    assert sum(float(line["debits"]) for line in checked.json["lines"]) == 46 * 12
    (town.folder / "statement.json").write_text(file.read_text("utf-8").replace('"voucher/', '"voucher/x', 1), "utf-8")
    assert suanquan("ledger", "check-statement", "statement.json", *keys, cwd=town.folder).status != 0, "it was changed"


def settle(town):
    """The quarter is prepared, completed, approved by another and paid by finance; the centre reads that it was paid."""
    advance(town, "14d")
    page = town.open("方", "/settlements")
    page.select_option("#payee", "centre:sj01")
    page.select_option("#scheme", SCHEME)
    page.fill("#period", "2025Q3")
    sent(page, "form[action^='/settlements'] button")
    batch = page.url.partition(town.service.url)[2].partition("?")[0]
    assert "552.00" in page.inner_text("main"), page.inner_text("main")
    act(page, "certify")
    invoice = {"number": "26312000", "issuer": sandbox_uscc(9), "amount_yuan": "552"}
    act(page, "evidence", {"kind": "invoice", "name": "发票.pdf", "sha256": "ab" * 32} | invoice)
    act(page, "evidence", {"kind": "payment_proof", "name": "自付凭证.pdf", "sha256": "cd" * 32})
    assert page.locator("form[action*='/approve']").count() == 0, "who prepared it does not approve it"
    town.keep(page, "commission-settlement")
    _payee(town)
    act(town.open("林", batch), "approve")
    payer = town.open("何", batch)
    act(payer, "pay", {"paid_on": "2025-10-08", "reference": "ZF-2025-1"})
    payer.locator("#history").scroll_into_view_if_needed()
    town.keep(payer, "commission-paid")
    centre = town.open("centre", batch)
    assert "ZF-2025-1" in centre.inner_text("main")
    assert centre.locator("#acts").count() == 0
    town.keep(centre, "centre-3-paid")


def act(page, name, fields=()):
    """An act on a batch."""
    page.click(f"#act-{name} summary")
    for field, value in dict(fields).items():
        chosen = page.locator(f"#act-{name} [name={field}]")
        if chosen.evaluate("one => one.tagName") == "SELECT":
            chosen.select_option(value)
        else:
            chosen.fill(value)
    sent(page, f"#act-{name} button")
    assert page.locator(".alert").count() == 0, page.inner_text("main")


def _payee(town):
    page = town.open("何", "/payees")
    page.select_option("#payee", "centre:sj01")
    details = {
        "name": "松江智算中心",
        "uscc": sandbox_uscc(9),
        "account": "62220202001",
        "bank": "工行",
        "bank_code": "1" * 12,
    }
    for name, value in details.items():
        page.fill(f"#{name}", value)
    sent(page, "#set ~ form button")
    assert page.locator("form input[value=confirm]").count() == 0, "who gave them does not confirm them"
    other = town.open("许", "/payees")
    sent(other, "form:has(input[value=confirm]) button")
    town.keep(other, "commission-payees")


def follow(town):
    """A figure of the overview leads to its vouchers, to their entries, and to a receipt that the page Verify takes."""
    page = town.open("commission", "/office")
    town.keep(page, "commission-1-overview")
    sent(page, "dl.sums a >> nth=0")
    town.keep(page, "commission-2-vouchers")
    sent(page, "tbody th a >> nth=0")
    assert "50,000.00" in page.inner_text("main")
    town.keep(page, "commission-3-entries")
    with page.expect_download() as begun:
        page.click("a[href^='/office/receipts/'] >> nth=0")
    begun.value.save_as(town.folder / "receipt.tlog-proof")
    anybody = town.visits.open()
    town.go(anybody, "/verify")
    anybody.fill("textarea", (town.folder / "receipt.tlog-proof").read_text("utf-8"))
    sent(anybody, "form button >> nth=-1")
    assert anybody.locator("#verdict").count() == 1
    town.keep(anybody, "public-verify")


@pytest.mark.parametrize("language", ["zh", "en"] if ALL else ["zh"])
def test_a_voucher_from_the_application_to_the_payment(tmp_path, language):
    """Applied for, reviewed by two, published, issued, spent, disputed, proved; the gap found and fixed, the centre paid."""
    with made_town(tmp_path, language) as town:
        review(town, apply(town))
        spend(town)
        check(town)
        settle(town)
        follow(town)
