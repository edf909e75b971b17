"""Twelve reasons for which a voucher is not taken, each come about by a real act, each told with a figure and what to do next."""

import dataclasses
import re
import time

import pytest

from ledger import jws
from suanquan.use_cases.books import Order
from suanquan.use_cases.standing import change_standing
from tests.suanquan.bureau import MovedService
from tests.suanquan.harness import SCHEME
from tests.suanquan.spender import HOLDER_KEY, Spender
from tests.suanquan.test_portal import CJK
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

    def give(self, amount="100", scheme=SCHEME):
        order = IssueRequest(sandbox_uscc(1), "CNY", amount, dict(HOLDER_KEY.jwk()))
        return self.served.call(self.served.service.issue(scheme, order))

    def stand(self, jti, what):
        self.served.call(change_standing(self.served.service.journal, Order("王", "核查"), jti, what))

    def refused(self, token, yuan=1, **changes):
        answer = self.centre.hold(token, yuan, **changes)
        assert answer.status >= 400, answer
        return answer.content

    def signed(self, voucher, **changes):
        """What somebody with the issuer's key would sign."""
        _, document = read_voucher(voucher.token, self.served.service.keys.all_keys())
        issuer = self.served.service.issuer
        covered = jwt_input(dataclasses.replace(document, **changes), issuer.kid)
        return jws.compact(covered, issuer.sign(covered))


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
