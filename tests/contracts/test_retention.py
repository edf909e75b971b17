"""What is past its time goes, what is not stays, on both databases; the table is read strictly, and each drop has its row."""

import asyncio

import pytest
from sqlalchemy import func, insert, select

from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.access.trail import ERASE, Act
from suanquan.db import notices, people, retention, tokens, trail
from suanquan.db.database import Database
from suanquan.db.retention import What
from suanquan.db.schema import upgrade
from suanquan.db.tables import challenge, invitation, login_failure, notice, notice_delivery, session
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.notices.model import OFFICE, Kind, Notice, State
from suanquan.settings import Settings
from suanquan.use_cases import accounts
from suanquan.use_cases.access import DAY_US, Access
from suanquan.use_cases.retention import ACTION, FILE, PERSON, apply, load_terms, standing
from voucher.tables import party_trait

NOW = 2000 * DAY_US
TABLE = "\n".join(f'[{what.value}]\ndays = {{days}}\nwhy = "x"' for what in What if what is not What.AUDIT_DETAILS)
DETAILS = '\n[audit_details]\ndays = {days}\nwhy = "x"\n'


@pytest.fixture
async def access(new_database, tmp_path):
    opened = Access(Database(new_database(upgrade)), Home(tmp_path / "home"), Settings(), lambda: NOW * 1000)
    yield opened
    async with opened.database.read() as conn:
        assert (await trail.verify(conn)).fault == ""
    await opened.database.close()


def write(access, text):
    file = access.home.config / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


async def fill(access):
    """Of everything one row that was over ten days ago, one that was over a day ago, and one that is not over."""
    async with access.database.write() as conn:
        who = Principal("王", Role.AUDITOR)
        await people.add_person(conn, "王", 0)
        for age, name in ((10, "old"), (1, "young")):
            at = NOW - age * DAY_US
            await people.add_session(conn, name, who, "password", at - 1, at)
            await people.add_session(conn, f"{name} ended", who, "password", at - 1, NOW + DAY_US)
            await people.end_sessions(conn, "王", at)
            await tokens.create_token(conn, "auditor", name, at - 1)
            await tokens.revoke_tokens(conn, name, at)
            await tokens.create_token(conn, "auditor", name, at - 1, expires_us=at)
            await people.add_invitation(
                conn, people.Invitation(0, "take-up", name, "auditor", "", "", "", at, None), name
            )
            row = {"digest": name.encode(), "person": "", "purpose": "passkey-login", "secret": None, "expires_us": at}
            await conn.execute(insert(challenge).values(row))
            await conn.execute(insert(login_failure).values(name=name.encode(), failures=1, last_us=at))
            row = {"party": "x", "kind": "phone", "blinded": name, "shown": "1***", "origin": "o", "recorded_us": at}
            await conn.execute(insert(party_trait).values(row))
            await notices.add_channel(conn, "webhook", OFFICE, "https://x/…", [], "王", 1)
            await notices.put(conn, Notice(Kind.VOUCHER_USED, OFFICE, "券", "标题", "title", {}), at)
            done = {"state": State.DELIVERED.value, "tried_us": at}
            await notices.record(conn, [one.number for one, _ in await notices.due(conn, at, 9)], done)
            await trail.append(conn, Act("voucher.read", name, "auditor"), at)
        await people.add_session(conn, "now", who, "password", NOW, NOW + DAY_US)
        await tokens.create_token(conn, "auditor", "now", NOW)
        await notices.put(conn, Notice(Kind.VOUCHER_USED, OFFICE, "券", "标题", "title", {}), NOW - 10 * DAY_US)


async def counts(access):
    async with access.database.read() as conn:
        tables = (session, invitation, challenge, login_failure, party_trait, notice, notice_delivery)
        found = {one.name: (await conn.execute(select(func.count()).select_from(one))).scalar_one() for one in tables}
        return found | {"api_token": len(await tokens.list_tokens(conn))}


async def test_what_is_past_its_time_goes_and_nothing_else(access):
    """Rows that were over before the term are dropped in parts, the others stay; each part has a row; a second time nothing goes."""
    await fill(access)
    write(access, TABLE.format(days=5) + DETAILS.format(days=0))
    before = await counts(access)
    told = {one["what"]: one["past"] for one in await standing(access)}
    dropped = await apply(access)
    assert dropped == {name: past for name, past in told.items() if past} | {"notices": 1}, "once its delivery is gone"
    assert dropped == {"sessions": 2, "tokens": 2, "secrets": 3, "deliveries": 1, "notices": 1, "party_traits": 1}
    after = await counts(access)
    gone = {name: before[name] - after[name] for name in before}
    assert gone == {"session": 2, "api_token": 2, "invitation": 1, "challenge": 1, "login_failure": 1, "party_trait": 1, "notice": 1, "notice_delivery": 1}  # fmt: skip
    async with access.database.read() as conn:
        assert await people.session_of(conn, "now", NOW, DAY_US) is not None
        rows = await trail.search(conn, trail.Wanted(PERSON, ACTION, 0, NOW + 1, -1, 99))
        [last] = (await conn.execute(select(notice.c.number).where(notice.c.at_us == NOW - 10 * DAY_US))).scalars()
    assert len(rows) == len(dropped)
    assert "sessions before 1975-06-19T00:00:00Z: 5 d: 2" in rows[0].body
    assert last == 3, "what still waits to be sent stays, and numbers go on from the newest"
    assert await apply(access) == {}


async def test_details_of_the_audit_log_go_by_a_term_of_their_own(access):
    """Zero keeps them for good; a term erases them as an auditor would, so that every root still holds."""
    await fill(access)
    access.settings = Settings(audit_days=180)
    write(access, TABLE.format(days=0) + DETAILS.format(days=0))
    assert await apply(access) == {}
    write(access, TABLE.format(days=0) + DETAILS.format(days=180))
    assert await apply(access) == {}
    access.clock_ns = lambda: (NOW + 175 * DAY_US) * 1000
    assert await apply(access) == {"audit_details": 1}
    async with access.database.read() as conn:
        assert [row.body is None for row in await trail.search(conn, trail.Wanted("", "", 0, NOW, -1, 99))] == [
            True,
            False,
        ]
        assert (await trail.search(conn, trail.Wanted(PERSON, ERASE, 0, 2**62, -1, 9)))[0].body is not None


async def test_an_account_that_ends_is_cleared_at_once(access):
    """Of what it logged in with, its links and its address nothing is left; its name stays, and is not made again."""
    async with access.database.write() as conn:
        await people.add_person(conn, "王", 0)
        await people.grant(conn, "王", people.Grant("finance", ""), "admin", 0)
        await people.set_password(conn, "王", "hash")
        await people.set_totp(conn, "王", b"sealed")
        await people.add_passkey(conn, people.Passkey(b"id", "王", b"key", 0, "x"), 0)
        await people.link_identity(conn, "https://login.example.cn", "7", "王", 1)
        await notices.choose(conn, "王", notices.Choice("wang@example.cn"))
    admin = Principal("admin", Role.ADMINISTRATOR)
    await accounts.end_account(access, admin, "王")
    async with access.database.read() as conn:
        ended = await people.find_person(conn, "王")
        assert (ended.password, ended.totp, ended.state) == ("", None, people.ENDED)
        assert await people.passkeys_of(conn, "王") == []
        assert await people.identities_of(conn, "王") == []
        assert await notices.choice_of(conn, "王") == notices.Choice()
    with pytest.raises(ServiceError, match="was ended"):
        await accounts.invite(access, admin, "王", people.Grant("finance", ""))


async def test_many_go_in_parts(access, monkeypatch):
    """No transaction drops more than its share."""
    monkeypatch.setattr(retention, "TOGETHER", 3)
    async with access.database.write() as conn:
        for number in range(7):
            await conn.execute(insert(login_failure).values(name=bytes([number]), failures=1, last_us=1))
    write(access, TABLE.format(days=1) + DETAILS.format(days=0))
    assert await apply(access) == {"secrets": 7}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        pytest.param("[sessions", FILE, id="not TOML"),
        pytest.param(TABLE.format(days=1), "audit_details", id="one is missing"),
        pytest.param(TABLE.format(days=1) + DETAILS.format(days=0) + "[vouchers]\ndays = 1\n", "vouchers", id="the ledger's"),
        pytest.param(TABLE.format(days=1) + DETAILS.format(days=0).replace('why = "x"', ""), "audit_details", id="no reason"),
        pytest.param(TABLE.format(days=-1) + DETAILS.format(days=0), "sessions", id="negative"),
        pytest.param(TABLE.format(days=1.5) + DETAILS.format(days=0), "sessions", id="a fraction"),
        pytest.param(TABLE.format(days="true") + DETAILS.format(days=0), "sessions", id="no number"),
        pytest.param(TABLE.format(days=1) + DETAILS.format(days=1095), "audit_details", id="sooner than audit_days"),
    ],
)  # fmt: skip
def test_a_faulty_table_drops_nothing(tmp_path, text, where):
    """The place at fault is named, and nothing of the table is taken."""
    access = Access(None, Home(tmp_path / "home"), Settings(), lambda: NOW * 1000)
    write(access, text)
    with pytest.raises(ServiceError) as caught:
        asyncio.run(apply(access))
    assert caught.value.code == "retention-invalid"
    assert any(found.where.endswith(where) for found in caught.value.findings)


def test_the_table_that_ships_is_sound(tmp_path):
    """A home without a table has the shipped one: log-ins for six months at least, details of the audit log for good."""
    days = {term.what: term.days for term in load_terms(Home(tmp_path), Settings())}
    assert days.keys() == set(What)
    assert days[What.SESSIONS] >= 180
    assert days[What.AUDIT_DETAILS] == 0
