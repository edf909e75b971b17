"""The outbox of notices on both databases: who is told, what is due, digests, dead ends, choices, and audiences apart."""

import pytest

from suanquan.access.policy import Role
from suanquan.db import notices, people
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.notices.model import OFFICE, RETRIES_S, Kind, Notice, next_try_us, of_centre, of_holder
from voucher.holder import sandbox_uscc

MINE, THEIRS = sandbox_uscc(1), sandbox_uscc(2)
DAY_US = 86_400_000_000


@pytest.fixture
async def conn(new_database):
    database = Database(new_database(upgrade))
    async with database.write() as connection:
        yield connection
    await database.close()


def told(audience, kind=Kind.VOUCHER_USED):
    return Notice(kind, audience, "券", "标题", "title", {"余": "1.5"})


async def test_a_notice_goes_to_the_channels_and_people_of_its_audience(conn):
    """By kind and by company; ended channels, ended accounts and other audiences get nothing; everything is in the inbox."""
    ways = {}
    for name, audience, wanted in (
        ("all", of_holder(MINE), []),
        ("some", of_holder(MINE), ["voucher.used"]),
        ("other", of_holder(MINE), ["voucher.revoked"]),
        ("ended", of_holder(MINE), []),
        ("theirs", of_holder(THEIRS), []),
        ("centre", of_centre(MINE), []),
    ):
        ways[name] = await notices.add_channel(conn, "webhook", audience, "https://x/…", wanted, "王", 1)
        await notices.seal_channel(conn, ways[name], b"t", b"s")
    await notices.end_channel(conn, ways["ended"], 2)
    for name, role, tenant, mailed in (
        ("甲", Role.BENEFICIARY_MEMBER, MINE, ("voucher.used",)),
        ("乙", Role.BENEFICIARY_ADMIN, MINE, ("voucher.revoked",)),
        ("丙", Role.BENEFICIARY_ADMIN, THEIRS, ("voucher.used",)),
        ("丁", Role.FINANCE, "", ("voucher.used",)),
        ("戊", Role.BENEFICIARY_ADMIN, MINE, ("voucher.used",)),
    ):
        await people.add_person(conn, name, 0)
        await people.grant(conn, name, people.Grant(role.value, tenant), "admin", 0)
        await notices.choose(conn, name, notices.Choice(f"{role.value}@example.cn", mailed))
    await people.set_state(conn, "戊", people.ENDED)
    number = await notices.put(conn, told(of_holder(MINE)), 10)
    assert await notices.due(conn, 9, 100) == []
    due = await notices.due(conn, 10, 100)
    assert [(one.channel, one.person) for one, _ in due] == [(ways["all"], ""), (ways["some"], ""), (0, "甲")]
    assert {stored.number for _, stored in due} == {number}
    assert due[0][1].data == {"余": "1.5"}
    await notices.put(conn, told(OFFICE), 11)
    assert [one.person for one, stored in await notices.due(conn, 11, 100) if stored.audience == OFFICE] == ["丁"]
    assert len(await notices.channels_of(conn, None)) == 5
    assert len(await notices.channels_of(conn, of_holder(MINE), every=True)) == 4


async def test_the_inbox_of_one_audience(conn):
    """Newest first, page by page, without what is muted; unread is what came after the last that was read."""
    for kind in (Kind.VOUCHER_USED, Kind.VOUCHER_EXPIRING, Kind.VOUCHER_USED):
        await notices.put(conn, told(of_holder(MINE), kind), 1)
    await notices.put(conn, told(of_holder(THEIRS)), 1)
    listed = await notices.list_notices(conn, of_holder(MINE), (), 2**62, 2)
    assert [one.number for one in listed] == [3, 2]
    assert [one.number for one in await notices.list_notices(conn, of_holder(MINE), (), 2, 2)] == [1]
    muted = ("voucher.expiring",)
    assert [one.number for one in await notices.list_notices(conn, of_holder(MINE), muted, 2**62, 9)] == [3, 1]
    assert await notices.count_after(conn, of_holder(MINE), (), 1) == 2
    assert await notices.count_after(conn, of_holder(MINE), muted, 1) == 1
    assert await notices.choice_of(conn, "王") == notices.Choice()
    chosen = notices.Choice("a@b.cn", ("voucher.used",), muted, 2)
    for _ in range(2):
        await notices.choose(conn, "王", chosen)
    assert await notices.choice_of(conn, "王") == chosen


async def test_deliveries_wait_end_and_come_again(conn):
    """What was decided is not decided twice; messages of a minute are counted by their time; a dead one is sent again on request."""
    channel = await notices.add_channel(conn, "wecom", of_holder(MINE), "https://x/…", [], "王", 1)
    for _ in range(3):
        await notices.put(conn, told(of_holder(MINE)), 10)
    first, second, third = (one.number for one, _ in await notices.due(conn, 10, 9))
    await notices.record(conn, [first, second], {"state": "delivered", "tried_us": 20})
    await notices.record(conn, [first, third], {"state": "dead", "tried_us": 30, "fault": "HTTP 500"})
    found = await notices.deliveries_of(conn, channel, None, 0, 9)
    assert [(one.state, one.tried_us) for one in found] == [("delivered", 20), ("delivered", 20), ("dead", 30)]
    assert await notices.tried_since(conn, channel, 19) == 2
    assert await notices.tried_since(conn, channel, 20) == 1
    assert [one.number for one in await notices.deliveries_of(conn, channel, "dead", 0, 9)] == [third]
    assert not await notices.revive(conn, channel + 1, third, 40)
    assert await notices.revive(conn, channel, third, 40)
    assert [one.number for one, _ in await notices.due(conn, 40, 9)] == [third]
    await notices.end_channel(conn, channel, 50)
    assert await notices.due(conn, DAY_US, 9) == []
    assert await notices.find_channel(conn, 99) is None


def test_waits_grow_and_end():
    """Each wait is longer than the one before; after the last there is none."""
    waits = [next_try_us(tries, 0) for tries in range(1, len(RETRIES_S) + 1)]
    assert waits == sorted(set(waits))
    assert next_try_us(len(RETRIES_S) + 1, 0) is None
