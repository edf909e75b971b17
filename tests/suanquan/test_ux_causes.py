"""Twelve reasons for which a voucher is not taken, each come about by a real act, each told with a figure and what to do next."""

import dataclasses
import html
import re
import time

import httpx2
import pytest

from ledger import jws
from suanquan.db.tokens import create_token
from suanquan.http.auth import COOKIE
from suanquan.portal.present_text import TEXTS
from suanquan.use_cases.books import Order
from suanquan.use_cases.standing import change_standing
from tests.suanquan.bureau import MovedService
from tests.suanquan.harness import SCHEME
from tests.suanquan.spender import HOLDER_KEY, Spender
from tests.suanquan.test_portal import CJK, FROM_HERE
from tests.suanquan.test_ux_words import BALANCE, NEVER
from tests.subsidy.procedure_samples import Clock
from tests.tampering import altered
from voucher.document import jwt_input, read_voucher
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest

SCHEMES = {
    "later": ("valid_from = 2015-01-01", "valid_from = 2033-01-01"),
    "elsewhere": ('centres = "*"', 'centres = ["sj02"]'),
    "claimed": ('claim_mode = "issue_then_offset"', 'claim_mode = "issue_then_reimburse"'),
}
"""Schemes that differ from the sandbox's in one line."""
NEXT = {
    "zh": re.compile("请(改用|减少|完整|核对|持券人|在|到|重新|凭)"),
    "en": re.compile(r"use another|ask for less|copy all|check the code|present again|use it|claim with|ask again"),
}


class Counter:
    """A centre at a service whose clock the test moves, and what it is refused for."""

    def __init__(self, served, clock):
        self.served, self.clock = served, clock
        self.centre = Spender(served.url, clock=lambda: served.service.now_us / 1_000_000)
        self.person = served.call(_operator(served.service))

    def give(self, amount="100", scheme=SCHEME):
        order = IssueRequest(sandbox_uscc(1), "CNY", amount, dict(HOLDER_KEY.jwk()))
        return self.served.call(self.served.service.issue(scheme, order))

    def stand(self, jti, what):
        self.served.call(change_standing(self.served.service.journal, Order("王", "核查"), jti, what))

    def refused(self, token, yuan=1, **changes):
        answer = self.centre.hold(token, yuan, **changes)
        assert answer.status >= 400, answer
        self.on_page(token, yuan, answer.content, **changes)
        return answer.content

    def on_page(self, token, yuan, told, **changes):
        """The counter's page says the same in both languages, of a proof that is used again when it is sent."""
        form = {"pasted": token, "amount": str(yuan), "act": "hold" if changes else "look"}
        if changes:
            form["proof"] = self.centre.proof(token, yuan, **changes)
        before = self.served.call(_entries(self.served.service))
        for language, said in (("zh", told["title"]), ("en", told["detail"])):
            cookie = {"Cookie": f"{COOKIE}={self.person}"}
            address = f"{self.served.url}/present?lang={language}"
            page = httpx2.post(address, data=form, headers=FROM_HERE | cookie, timeout=60)
            assert page.status_code >= 400, said
            shown = html.unescape(page.text)
            assert said in shown, (said, re.findall('id="problem">(.*?)</p>', shown))
            assert TEXTS[language]["counter_unusable"] in shown
            assert token in shown, "it can be corrected"
        assert self.served.call(_entries(self.served.service)) == before, "looking writes nothing"

    def signed(self, voucher, **changes):
        """What somebody with the issuer's key would sign."""
        _, document = read_voucher(voucher.token, self.served.service.keys.all_keys())
        issuer = self.served.service.issuer
        covered = jwt_input(dataclasses.replace(document, **changes), issuer.kid)
        return jws.compact(covered, issuer.sign(covered))


async def _operator(service):
    async with service.database.write() as conn:
        return await create_token(conn, "centre_operator", "窗口", service.now_us, tenant="sj01")


async def _entries(service):
    async with service.database.read() as conn:
        return (await conn.exec_driver_sql("SELECT COUNT(*) FROM entry")).scalar_one()


@pytest.fixture(scope="module")
def counter(template, tmp_path_factory):
    made = template.copy_to(tmp_path_factory.mktemp("counter") / "home")
    sandbox = (made.home.config / "schemes/sandbox.toml").read_text("utf-8")
    for name, (line, changed) in SCHEMES.items():
        assert line in sandbox
        text = sandbox.replace(line, changed).replace(f'"{SCHEME}"', f'"{SCHEME}-{name}"')
        (made.home.config / f"schemes/{name}.toml").write_text(text, "utf-8")
    clock = Clock(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)))
    with MovedService(made.home, clock) as served:
        yield Counter(served, clock)


def unknown(at):
    """不存在"""
    return at.refused(at.signed(at.give(), jti="01936c1e-0000-7abc-8def-0123456789ab"))


def signature(at):
    """签名不符"""
    token = at.give().token
    return at.refused(altered(token))


def early(at):
    """未到生效日"""
    return at.refused(at.give(scheme=f"{SCHEME}-later").token)


def used_up(at):
    """已用完"""
    token = at.give("10").token
    hold = at.centre.hold(token, 10).content["hold"]
    assert at.centre.capture(hold, "10", final=True).status == 200
    return at.refused(token)


def short(at):
    """余额不足, and by how much"""
    return at.refused(at.give("10").token, 12)


def suspended(at):
    """已暂停"""
    voucher = at.give()
    at.stand(voucher.jti, "suspend")
    return at.refused(voucher.token)


def revoked(at):
    """已收回"""
    voucher = at.give()
    at.stand(voucher.jti, "revoke")
    return at.refused(voucher.token)


def elsewhere(at):
    """不适用本中心"""
    return at.refused(at.give(scheme=f"{SCHEME}-elsewhere").token)


def otherwise(at):
    """不适用本用途"""
    return at.refused(at.give(scheme=f"{SCHEME}-claimed").token)


def held(at):
    """正被另一中心预占"""
    token = at.give("10").token
    other = Spender(at.served.url, "sj02", at.centre.clock)
    assert other.hold(token, 8, body={"expires_in_s": 600}).status == 200
    return at.refused(token, 5)


def renewed(at):
    """码已换新"""
    token = at.give().token
    nonce = at.centre.nonce()
    assert at.centre.hold(token, 1, nonce=nonce).status == 200
    return at.refused(token, nonce=nonce)


def expired(at):
    """已过期; the last, since the clock stays there"""
    token = at.give().token
    at.clock.set("2035-01-02T09:00:00+08:00")
    return at.refused(token)


CAUSES = {
    unknown: ("voucher-not-logged", "01936c1e-0000-7abc"),
    signature: ("token-signature", r"\d+"),
    early: ("voucher-not-yet-valid", "2033-01-01 00:00"),
    used_up: ("insufficient", r"已用完：10.00 元"),
    short: ("insufficient", r"可用 10.00 元，本次要 12.00 元，差 2.00 元"),
    suspended: ("voucher-suspended", "100.00 元"),
    revoked: ("voucher-revoked", r"20\d\d-\d\d-\d\d \d\d:\d\d"),
    elsewhere: ("voucher-centre", "1 个中心（sj02）"),
    otherwise: ("action-not-in-mode", "2035-01-01 00:00"),
    held: (
        "insufficient",
        r"可用 2.00 元，另有 8.00 元正被预占，本次要 5.00 元，差 3.00 元。请在 20\d\d-\d\d-\d\d \d\d:\d\d",
    ),
    renewed: ("pop-replayed", "120 秒"),
    expired: ("voucher-expired", "2035-01-01 00:00"),
}


def test_a_voucher_is_held_at_the_counter_and_given_back(counter):
    """Shown, it is usable for what it has; its holder's proof holds it; what is left goes back; a number or a receipt is told apart."""
    cookie = {"Cookie": f"{COOKIE}={counter.person}"}
    with httpx2.Client(base_url=counter.served.url, headers=FROM_HERE | cookie, timeout=60) as client:
        token = counter.give("100.50").token
        looked = client.post("/present", data={"pasted": f" {token}\n", "act": "look"})
        shown = html.unescape(looked.text)
        assert (looked.status_code, TEXTS["zh"]["counter_usable"] in shown, "<strong>100.50" in shown) == (
            200,
            True,
            True,
        )
        nonce = re.search(r"--nonce=(\S+)", shown)[1]
        assert "--centre=sj01 --amount=100.5" in shown
        proof = counter.centre.proof(token, 40, nonce=nonce)
        form = {"pasted": token, "proof": proof, "act": "hold"}
        held = client.post("/present", data=form)
        assert held.status_code == 303, held.text
        page = client.get(held.headers["location"]).text
        assert TEXTS["zh"]["hold_next_open"] in page
        again = client.post("/present", data={"pasted": token, "amount": "60.51", "act": "look"})
        assert "差 0.01 元" in again.text
        assert held.headers["location"] in client.post("/present", data={"pasted": token, "act": "look"}).text
        back = client.post(f"{held.headers['location']}/release", data={})
        assert back.status_code == 303
        page = client.get(held.headers["location"]).text
        assert (TEXTS["zh"]["hold_next_released"] in page, "/release" in page) == (True, False)
        assert client.post(f"{held.headers['location']}/release", data={}).status_code == 409
        for pasted, key in (
            ("", "counter_empty"),
            (counter.give().jti, "counter_number"),
            ("一段话", "counter_no_code"),
        ):
            answer = client.post("/present", data={"pasted": pasted, "act": "look"})
            assert (answer.status_code, TEXTS["zh"][key] in answer.text) == (422, True), pasted
        wrong = client.post("/present", data={"pasted": token, "amount": "很多", "act": "look"})
        assert (wrong.status_code, 'value="很多"' in wrong.text) == (422, True)


def test_the_counter_is_a_centres_own(counter):
    """No holder, officer or other centre holds, or gives back, for a centre."""
    token = counter.give("5").token
    hold = counter.centre.hold(token, 5).content["hold"]
    for role, tenant, status in (("beneficiary_admin", sandbox_uscc(1), 403), ("centre_operator", "sj02", 404)):
        mine = counter.served.call(_token(counter.served.service, role, tenant))
        headers = FROM_HERE | {"Cookie": f"{COOKIE}={mine}"}
        answer = httpx2.post(f"{counter.served.url}/holds/{hold}/release", data={"x": "y"}, headers=headers, timeout=60)
        assert answer.status_code == status, answer.text
        own = 200 if status == 403 else 404  # the holder of the voucher sees what is held of it
        assert httpx2.get(f"{counter.served.url}/holds/{hold}", headers=headers, timeout=60).status_code == own
    assert counter.centre.release(hold).status == 200


async def _token(service, role, tenant):
    async with service.database.write() as conn:
        return await create_token(conn, role, "other", service.now_us, tenant=tenant)


def test_each_cause_is_told_with_a_figure_and_what_to_do(counter):
    """The code, the figure or date, the next step, in both languages, without a vague word, and no two in the same words."""
    said = {}
    for cause, (code, figure) in CAUSES.items():
        told = cause(counter)
        zh, en = told["title"], told["detail"]
        assert told["code"] == code, (cause.__doc__, told)
        assert re.search(figure, zh), (cause.__doc__, zh)
        assert re.search(r"\d", en), en
        assert NEXT["zh"].search(zh), zh
        assert NEXT["en"].search(en), en
        assert not CJK.search(en), en
        assert not NEVER.search(f"{zh} {en}"), zh
        assert not BALANCE.search(zh), zh
        said[zh] = cause
    assert len(said) == len(CAUSES) == 12
