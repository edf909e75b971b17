"""Accounts, sessions, second factors, tokens and recovery on both databases, with a clock that the test moves."""

import asyncio
import base64
import secrets
from hashlib import sha256

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from suanquan.access import totp
from suanquan.access.lockout import FREE_FAILURES, LONGEST_WAIT_S, left_s, wait_s
from suanquan.access.passwords import Passwords
from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.db import people, tokens, trail
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.settings import Settings
from suanquan.use_cases import accounts, first_account, sign_in
from suanquan.use_cases.access import IDLE_MINUTES, SESSION_HOURS, Access
from suanquan.use_cases.named import KEPT, NAMED, SHOWN, acting_person, named
from suanquan.use_cases.sign_in import LockedError, Login
from tests.back_ends import rows
from voucher.holder import sandbox_uscc

ADMIN = Principal("admin", Role.ADMINISTRATOR)
PASSWORD = "correct horse battery"
MINUTE_S = 60


class Clock:
    def __init__(self):
        self.now_s = 1_800_000_000

    def __call__(self):
        return self.now_s * 1_000_000_000


@pytest.fixture
async def access(new_database, tmp_path):
    """The accounts of a new sandbox, of which `admin` has taken up the first."""
    home = Home(tmp_path / "home")
    home.keys.mkdir(parents=True)
    database = Database(new_database(upgrade))
    opened = Access(
        database, home, Settings(sandbox=True), Clock(), Passwords(PasswordHasher.from_parameters(CHEAPEST))
    )
    await accounts.take_up(opened, await first_account.first_secret(opened), PASSWORD)
    yield opened
    async with database.read() as conn:
        assert (await trail.verify(conn)).fault == ""
    await database.close()


async def refused(code, work):
    with pytest.raises(ServiceError) as caught:
        await work
    assert caught.value.code == code
    return caught.value


async def join(access, name, role, tenant="", by=ADMIN):
    """Somebody who was invited and took up the account."""
    await accounts.take_up(access, await accounts.invite(access, by, name, people.Grant(role, tenant)), PASSWORD)


async def acts(access):
    async with access.database.read() as conn:
        return [row.action async for row in trail.stream(conn)]


async def test_the_first_account_is_taken_up_once(access):
    """The printed secret sets the password; a second time it is like any other that nobody gave."""
    secret = await first_account.first_secret(access)
    assert await accounts.take_up(access, secret, PASSWORD) == "admin"
    for wrong in (secret, "sqi_x", "", "\udc80"):
        await refused("secret-unknown", accounts.take_up(access, wrong, PASSWORD))
    late = await first_account.first_secret(access)
    access.clock_ns.now_s += 8 * 86_400
    await refused("secret-unknown", accounts.take_up(access, late, PASSWORD))
    begun = await sign_in.log_in(access, Login("admin", PASSWORD))
    assert (begun.who.role, begun.who.tenant) == (Role.ADMINISTRATOR, "")


async def test_a_session_ends_by_time_by_rest_and_by_will(access):
    """It is in force while it is used, at most twelve hours; ended, it opens nothing from that very moment."""
    begun = await sign_in.log_in(access, Login("admin", PASSWORD))
    for _ in range(SESSION_HOURS * 60 // IDLE_MINUTES * 2):
        assert (await sign_in.session(access, begun.secret)).name == "admin"
        access.clock_ns.now_s += IDLE_MINUTES * MINUTE_S // 2
    assert await sign_in.session(access, begun.secret) is None
    idle = await sign_in.log_in(access, Login("admin", PASSWORD))
    access.clock_ns.now_s += IDLE_MINUTES * MINUTE_S
    assert await sign_in.session(access, idle.secret) is None
    first, second, third = [await sign_in.log_in(access, Login("admin", PASSWORD)) for _ in range(3)]
    who = await sign_in.session(access, first.secret)
    assert await sign_in.log_out(access, who, everywhere=False) == 1
    assert await sign_in.session(access, first.secret) is None
    assert await sign_in.session(access, second.secret) is not None
    assert await accounts.end_sessions(access, ADMIN, "admin") >= 2
    assert [await sign_in.session(access, one.secret) for one in (second, third)] == [None, None]
    for wrong in ("", "sqs_", "sqs_" + secrets.token_urlsafe(32), first.secret[:-1], "x" * 10_000):
        assert await sign_in.session(access, wrong) is None


async def test_unknown_names_and_wrong_passwords_are_one(access):
    """The same answer, one hash each, the same wait: nothing tells which names exist."""
    waits = {}
    for name in ("admin", "nobody"):
        before, waits[name] = access.passwords.checked, []
        for _ in range(FREE_FAILURES):
            error = await refused("login-failed", sign_in.log_in(access, Login(name, "wrong")))
            waits[name].append(str(error))
        assert access.passwords.checked - before == FREE_FAILURES
        for _ in range(4):
            locked = await refused("login-locked", sign_in.log_in(access, Login(name, PASSWORD)))
            waits[name].append(locked.wait_s)
            access.clock_ns.now_s += locked.wait_s
            await refused("login-failed", sign_in.log_in(access, Login(name, "wrong")))
    assert waits["admin"] == waits["nobody"]
    assert waits["admin"][FREE_FAILURES:] == [1, 2, 4, 8]
    access.clock_ns.now_s += 16
    assert (await sign_in.log_in(access, Login("admin", PASSWORD))).who.name == "admin"
    assert not isinstance(await sign_in.log_in(access, Login("admin", PASSWORD)), LockedError), "the count began anew"


def test_waits_double_up_to_a_quarter_of_an_hour():
    """Five tries are free; then 1, 2, 4 … seconds, never more than 900, for any number of failures."""
    assert [wait_s(count) for count in range(FREE_FAILURES)] == [0] * FREE_FAILURES
    assert [wait_s(FREE_FAILURES + more) for more in range(12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert wait_s(10**9) == LONGEST_WAIT_S
    assert left_s(FREE_FAILURES, 1_000_000, 1_999_999) == 1
    assert left_s(FREE_FAILURES, 1_000_000, 2_000_000) == 0


async def test_tries_at_once_are_counted_one_by_one(access):
    """A hundred wrong tries at the same time are a hundred failures, not a few."""
    tries = (sign_in.log_in(access, Login("admin", "wrong")) for _ in range(30))
    codes = [error.code for error in await asyncio.gather(*tries, return_exceptions=True)]
    assert set(codes) <= {"login-failed", "login-locked"}
    async with access.database.read() as conn:
        failures, _ = await people.failures_of(conn, "admin")
    assert failures == codes.count("login-failed")


RFC_6238 = [
    (59, "94287082", "46119246", "90693936"),
    (1_111_111_109, "07081804", "68084774", "25091201"),
    (1_111_111_111, "14050471", "67062674", "99943326"),
    (1_234_567_890, "89005924", "91819424", "93441116"),
    (2_000_000_000, "69279037", "90698825", "38618901"),
    (20_000_000_000, "65353130", "77737706", "47863826"),
]
"""Appendix B, with the seeds that its reference code uses: 20, 32 and 64 bytes."""


@pytest.mark.parametrize(("at_s", "sha1", "sha256", "sha512"), RFC_6238)
def test_codes_are_those_of_the_standard(at_s, sha1, sha256, sha512):
    """Every row of appendix B of RFC 6238."""
    digits = b"1234567890" * 7
    for algorithm, size, expected in (("sha1", 20, sha1), ("sha256", 32, sha256), ("sha512", 64, sha512)):
        assert totp.totp(digits[:size], at_s, 8, algorithm) == expected


def test_counters_are_those_of_the_standard():
    """Appendix D of RFC 4226."""
    codes = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
    assert [totp.hotp(b"12345678901234567890", counter) for counter in range(10)] == codes


async def test_a_second_factor_is_needed_and_no_code_opens_twice(access):
    """It counts from its first code on; then the password alone, a wrong code and a used one do not get in."""
    begun = await sign_in.log_in(access, Login("admin", PASSWORD))
    address = await accounts.begin_totp(access, begun.who)
    seed = address.partition("secret=")[2].partition("&")[0]
    key = base64.b32decode(seed + "=" * (-len(seed) % 8))
    await refused("login-failed", accounts.confirm_totp(access, begun.who, "000000"))
    assert (await sign_in.log_in(access, Login("admin", PASSWORD))).who.name == "admin", "not confirmed, not needed"
    address = await accounts.begin_totp(access, begun.who)
    seed = address.partition("secret=")[2].partition("&")[0]
    key = base64.b32decode(seed + "=" * (-len(seed) % 8))
    await accounts.confirm_totp(access, begun.who, totp.totp(key, access.clock_ns.now_s))
    await refused("second-factor-needed", sign_in.log_in(access, Login("admin", PASSWORD)))
    await refused("login-failed", sign_in.log_in(access, Login("admin", "wrong")))
    await refused(
        "login-failed", sign_in.log_in(access, Login("admin", PASSWORD, totp.totp(key, access.clock_ns.now_s)))
    )
    access.clock_ns.now_s += totp.STEP_S
    code = totp.totp(key, access.clock_ns.now_s)
    both = await asyncio.gather(
        *(sign_in.log_in(access, Login("admin", PASSWORD, code)) for _ in range(2)), return_exceptions=True
    )
    assert sorted(isinstance(one, ServiceError) for one in both) == [False, True], "one code, one session"
    async with access.database.read() as conn:
        assert key not in (await people.find_person(conn, "admin")).totp, "the seed rests sealed"


async def test_an_account_is_recovered_by_two_others(access):
    """Who asks cannot agree, nor can its subject; the secret sets a password and takes away factors, sessions and tokens."""
    await join(access, "钱", "finance")
    await join(access, "周", "department")
    session = await sign_in.log_in(access, Login("周", PASSWORD))
    made = await accounts.make_token(access, session.who, ["voucher"], 30)
    qian = Principal("钱", Role.FINANCE)
    await refused("recovery-unknown", accounts.agree_recovery(access, ADMIN, "周"))
    await refused("account-unknown", accounts.open_recovery(access, qian, "路人"))
    await refused("same-person", accounts.open_recovery(access, session.who, "周"))
    await accounts.open_recovery(access, qian, "周")
    await refused("same-person", accounts.agree_recovery(access, qian, "周"))
    await refused("same-person", accounts.agree_recovery(access, session.who, "周"))
    assert await sign_in.session(access, session.secret) is not None, "nothing changes before the secret is used"
    secret = await accounts.agree_recovery(access, ADMIN, "周")
    await refused("recovery-unknown", accounts.agree_recovery(access, ADMIN, "周"))
    assert await accounts.take_up(access, secret, "another horse battery") == "周"
    assert await sign_in.session(access, session.secret) is None
    async with access.database.read() as conn:
        assert await tokens.principal_of(conn, made["token"], access.now_us) is None
    await refused("login-failed", sign_in.log_in(access, Login("周", PASSWORD)))
    assert (await sign_in.log_in(access, Login("周", "another horse battery"))).who.role is Role.DEPARTMENT
    assert {"recovery.open", "recovery.approve", "account.take_up", "token.make"} <= set(await acts(access))


async def test_a_tenant_makes_accounts_of_its_own_alone(access):
    """A company's admin invites its members under its own name, sees no other account and ends none; roles of the office are not its to give."""
    code, other = sandbox_uscc(1), sandbox_uscc(2)
    await join(access, f"{code}/张", "beneficiary_admin", code)
    await join(access, f"{other}/李", "beneficiary_admin", other)
    zhang = Principal(f"{code}/张", Role.BENEFICIARY_ADMIN, code)
    await join(access, f"{code}/王", "beneficiary_member", code, by=zhang)
    for name, role, tenant, wanted in (
        (f"{code}/x", "beneficiary_admin", other, "not-permitted"),
        (f"{code}/x", "finance", "", "not-permitted"),
        (f"{code}/x", "centre_operator", "sj01", "not-permitted"),
        ("admin", "beneficiary_member", code, "account-foreign"),
        (f"{other}/李", "beneficiary_member", code, "account-foreign"),
    ):
        await refused(wanted, accounts.invite(access, zhang, name, people.Grant(role, tenant)))
    for name in (f"{other}/李", "admin", f"{code}/nobody"):
        await refused("account-unknown", accounts.end_account(access, zhang, name))
        await refused("account-unknown", accounts.end_sessions(access, zhang, name))
    assert await accounts.end_account(access, zhang, f"{code}/王") == 0
    await refused("login-failed", sign_in.log_in(access, Login(f"{code}/王", PASSWORD)))
    await refused("administrator-last", accounts.end_account(access, ADMIN, "admin"))


@pytest.mark.parametrize(
    ("name", "role", "tenant", "code"),
    [
        ("", "finance", "", "person-malformed"),
        (" x", "finance", "", "person-malformed"),
        ("x\n", "finance", "", "person-malformed"),
        ("x", "root", "", "role-unknown"),
        ("x", "public", "", "role-unknown"),
        ("x", "centre_agent", "sj01", "role-unknown"),
        ("x", "finance", "sj01", "tenant-malformed"),
        ("x", "centre_operator", "", "tenant-malformed"),
    ],
)
async def test_what_is_no_account_is_refused(access, name, role, tenant, code):
    """Names have printable characters, roles fit their tenants, and nobody is invited as the public or as an agent."""
    await refused(code, accounts.invite(access, ADMIN, name, people.Grant(role, tenant)))


async def test_tokens_do_what_they_say_until_they_end(access):
    """A token has the role and the tenant of its owner, only its actions, and dies at its time, by will and with the account."""
    await join(access, "经", "programme_officer")
    owner = (await sign_in.log_in(access, Login("经", PASSWORD))).who
    made = await accounts.make_token(access, owner, ["voucher.read", "quarantine"], 1)

    async def shown():
        async with access.database.read() as conn:
            return await tokens.principal_of(conn, made["token"], access.now_us)

    who = await shown()
    assert who.may("voucher.read", holder="x")
    assert not who.may("voucher.issue")
    assert not who.session
    await refused("scope-unknown", accounts.make_token(access, owner, ["voucher.mint"], 1))
    await refused("scope-too-wide", accounts.make_token(access, who, ["voucher"], 1))
    async with access.database.read() as conn:
        (listed,) = await tokens.list_tokens(conn, "经")
    await refused("token-missing", accounts.end_token(access, ADMIN, listed.id))
    access.clock_ns.now_s += 86_400
    assert await shown() is None
    made = await accounts.make_token(access, owner, ["voucher"], 1)
    assert await shown() is not None
    await accounts.end_account(access, ADMIN, "经")
    assert await shown() is None


async def test_passwords_are_long_and_changing_one_ends_other_sessions(access):
    """Twelve characters, not all alike; the old one is asked for, and whoever is logged in elsewhere is out."""
    here, there = [await sign_in.log_in(access, Login("admin", PASSWORD)) for _ in range(2)]
    who = await sign_in.session(access, here.secret)
    for weak in ("", "short", "a" * 40, "x" * 300):
        await refused("password-weak", accounts.change_password(access, who, PASSWORD, weak))
    await refused("login-failed", accounts.change_password(access, who, "wrong", "another horse battery"))
    await accounts.change_password(access, who, PASSWORD, "another horse battery")
    assert await sign_in.session(access, here.secret) is not None
    assert await sign_in.session(access, there.secret) is None


async def test_ready_accounts_are_for_a_sandbox(access):
    """A sandbox gets them, and they can log in; any other home refuses them before anything is made."""
    names = await first_account.make_ready(access, "sandbox password 1")
    for name in names:
        assert (await sign_in.log_in(access, Login(name, "sandbox password 1"))).who.name == name
    access.settings = Settings(sandbox=False)
    await refused("sandbox-only", first_account.make_ready(access, "sandbox password 1"))


async def test_tokens_of_earlier_versions_become_accounts(new_database, monkeypatch):
    """Each name with a token is an account without a password, in the roles of its tokens in force; the tokens go on working."""
    place = new_database()
    monkeypatch.setattr("suanquan.db.schema.HEAD", "0010")
    upgrade(place)
    secrets_of = {"init": "administrator", sandbox_uscc(1): "applicant", "钱": "finance", "gone": "finance"}
    for name, role in secrets_of.items():
        digest = sha256(name.encode()).hexdigest()
        blob = f"x'{digest}'" if not hasattr(place, "url") else f"decode('{digest}', 'hex')"
        ended = "7" if name == "gone" else "NULL"
        rows(place, f"INSERT INTO api_token VALUES ({blob}, '{role}', '{name}', 5, {ended})")
    monkeypatch.undo()
    upgrade(place)
    database = Database(place)
    async with database.read() as conn:
        found = {known.name: grants for known, grants in await people.list_people(conn)}
        assert found == {
            "init": [people.Grant("administrator", "")],
            sandbox_uscc(1): [people.Grant("applicant", sandbox_uscc(1))],
            "钱": [people.Grant("finance", "")],
            "gone": [],
        }
        who = await tokens.principal_of(conn, sandbox_uscc(1), 10)
        assert (who.role, who.tenant) == (Role.BENEFICIARY_ADMIN, sandbox_uscc(1))
        assert (await tokens.principal_of(conn, "init", 10)).role is Role.ADMINISTRATOR
        assert await tokens.principal_of(conn, "gone", 10) is None
    await database.close()


async def test_a_command_names_an_account_that_may(access):
    """`--as` finds the role that has the right; an unknown name and one without the right are told apart."""
    await join(access, "钱", "finance")
    async with access.database.read() as conn:
        assert (await named(conn, "admin", "account.make")).role is Role.ADMINISTRATOR
        await refused("account-unknown", named(conn, "路人", "account.make"))
        await refused("not-permitted", named(conn, "钱", "account.make"))


async def test_who_a_command_acts_as(access):
    """A secret shows it; a name alone is enough in a sandbox only; nobody named is the keeper of the home, who makes no accounts."""
    await join(access, "钱", "finance")
    async with access.database.write() as conn:
        token = await tokens.create_token(conn, "finance", "钱", 0, actions=["ledger"])
    begun = await sign_in.log_in(access, Login("钱", PASSWORD))

    async def acting(action, name="", secret=""):
        return await acting_person(access, action, name=name, secret=secret, keeper="root")

    for secret in (token, begun.secret):
        found = await acting("ledger.act", "钱", secret)
        assert (found.who.name, found.who.role, found.surface) == ("钱", Role.FINANCE, SHOWN)
        await refused("name-differs", acting("ledger.act", "admin", secret))
        await refused("not-permitted", acting("audit.erase", "钱", secret))
    await refused("not-permitted", acting("statement.make", "钱", token))  # beyond what the token is for
    assert (await acting("ledger.act", "钱")).surface == NAMED
    await refused("account-unknown", acting("ledger.act", "路人"))
    kept = await acting("account.make")
    assert (kept.who.name, kept.who.role, kept.surface) == ("os:root", Role.OPERATOR, KEPT)
    access.settings = Settings()
    await refused("not-shown", acting("ledger.act", "钱"))
    await refused("not-shown", acting("account.make"))
    assert (await acting("ledger.act", "钱", token)).surface == SHOWN
    await accounts.end_account(access, ADMIN, "钱")
    await refused("token-unknown", acting("ledger.act", "钱", token))
    await refused("token-unknown", acting("ledger.act", "钱", begun.secret))
