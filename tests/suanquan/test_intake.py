"""Batches served together, without a look at single records: the same answers and books as one by one with a look at each."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ledger.errors import DomainError
from metering.agent.events import batch_body, encode_event, number_event
from metering.batch import expand, read_cloudevents
from metering.compact import Compact
from metering.model import Accelerator
from suanquan.use_cases import intake
from suanquan.use_cases.ingest import Request, ingest
from tests.conftest import ALL
from tests.suanquan.harness import A100_HOUR, HOUR_MS, NOON_US, give, usage
from tests.suanquan.test_truth import desk  # noqa: F401 -- a fixture
from voucher.holder import sandbox_uscc

EXAMPLES = 60 if ALL else 12
NUMBERS = itertools.count(1)


def body_from(source, records):
    """A batch of a source, numbered on."""
    return batch_body(number_event(encode_event(one, source), next(NUMBERS)) for one in records)


def asked(service, body, key=None):
    """What HTTP hands on once it has checked the signature."""
    about = Request(
        "sj01", "kid", secrets.token_hex(16), service.now_us + 1, key or secrets.token_hex(16), sha256(body).digest()
    )
    return about, read_cloudevents(body, service.now_us)


async def together(service, body, key=None):
    """The answer of the intake."""
    return json.loads(await service.intake.take(*asked(service, body, key)))


async def singly(service, body, key=None):
    """The answer of the way that looks at each record."""
    about, batch = asked(service, body, key)
    rules, issuer = service.rules, service.issuer
    answer = await service.journal.transact(lambda tx: ingest(tx, about, batch, rules, issuer), keeps_memo=True)
    return json.loads(msgspec.json.encode(answer))


def comparable(answer):
    """An answer without what no two batches share."""
    return {name: value for name, value in answer.items() if name not in {"batch", "receipt"}}


@st.composite
def loads(draw):
    """Batches of a source: mostly ascending, at times late, doubled, changed, of an unknown card or across a month."""
    numbers = itertools.count()
    batches = []
    for _ in range(draw(st.integers(1, 5))):
        records = [
            usage(
                next(numbers),
                account=draw(st.sampled_from(["own", "paid"])),
                start_us=(start := NOON_US + draw(st.integers(-40 * 24, 0)) * HOUR_MS * 1000),
                end_us=start + HOUR_MS * 1000 * draw(st.sampled_from([1, 1, 1, 48])),
                accelerators=(
                    Accelerator(draw(st.sampled_from(["A100"] * 9 + ["unheard-of"])), draw(st.integers(1, 8000))),
                ),
            )
            for _ in range(draw(st.integers(1, 4)))
        ]
        if draw(st.integers(0, 5)) == 0:
            records.reverse()
        batches.append(records)
    for batch in [one for one in batches if draw(st.integers(0, 2)) == 0]:  # said again, perhaps with a change or cut
        again = [replace(one, active_ms=one.active_ms - draw(st.sampled_from([0, 0, 0, 1]))) for one in batch]
        batches.append(again[draw(st.integers(0, 1)) :] or again)
    order = draw(st.sampled_from(["as sent", "shuffled"]))
    return batches if order == "as sent" else draw(st.permutations(batches))


def test_both_ways_answer_and_book_the_same(desk, seed):  # noqa: F811
    """Whatever a source sends, in whatever order: fates, monthly totals, self-pay and vouchers do not depend on the way."""
    print("seed", seed)

    async def stock(here):
        for number in range(1, EXAMPLES + 1):
            for way in "ab":
                holder = sandbox_uscc(number * 2 + (way == "b"))
                await give(here.service, holder, "25.5", accounts=(f"paid{number}{way}",))

    async def play(here, batches, number):
        for records in batches:
            answers = []
            for way, take in (("a", together), ("b", singly)):
                mine = [replace(one, account=f"{one.account}{number}{way}") for one in records]
                answers.append(comparable(await take(here.service, body_from(source(number, way), mine))))
            assert answers[0] == answers[1]
        return await here.figures()

    def source(number, way):
        return f"urn:centre:sj01:agent:{way}{number}"

    desk(stock)
    examples = itertools.count(1)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate])
    @given(loads())
    def check(batches):
        number = next(examples)
        if number > EXAMPLES:
            return
        found = desk(lambda here: play(here, batches, number))
        for name in ("own", "paid"):
            a, b = (
                {key[1]: row for key, row in found.usage.items() if key[0] == f"{name}{number}{way}"} for way in "ab"
            )
            assert a == b
            assert found.self_pay.get(f"sj01/{name}{number}a") == found.self_pay.get(f"sj01/{name}{number}b")

    check()


def test_batches_that_overtake_each_other_are_served_together(desk):  # noqa: F811
    """Of many at once from one source none is late: ids may come in any order as long as no two batches mix."""

    async def work(here):
        service, source = here.service, "urn:centre:sj01:agent:many"
        bodies = [body_from(source, [usage(10 * at + n, account="many") for n in range(10)]) for at in range(9)]
        await together(service, bodies[4])
        answers = await asyncio.gather(*(together(service, bodies[at]) for at in (8, 0, 7, 1, 6, 2, 5, 3)))
        assert [answer["accepted"] for answer in answers] == [10] * 8
        again = await asyncio.gather(*(together(service, body) for body in bodies))
        assert [answer["duplicate"] for answer in again] == [10] * 9
        found = await here.figures()
        assert (found.records, found.rated) == (90, 90 * A100_HOUR)
        async with service.database.read() as connection:
            ids = await connection.exec_driver_sql("SELECT count(*) FROM usage_id")
            assert ids.scalar_one() == 0, "nothing was looked up id by id"

    desk(work)


def test_a_repeated_batch_gives_its_first_answer_again(desk):  # noqa: F811
    """Accepted or all duplicates: the same key and body get the same answer, receipt included; another body is refused."""

    async def work(here):
        service, source = here.service, "urn:centre:sj01:agent:again"
        body = body_from(source, [usage(n, account="again") for n in range(5)])
        await together(service, body_from(source, [usage(99, account="again")]))
        for key, status in (("first", "accepted"), ("second", "duplicate")):
            answer = await together(service, body, key)
            assert answer[status] == 5
            assert await together(service, body, key) == answer
        with pytest.raises(DomainError) as refused:
            await together(service, body_from(source, [usage(7, account="again")]), "second")
        assert refused.value.code == "idempotency-key-reused"
        assert (await here.figures()).records == 6

    desk(work)


def test_a_nonce_is_taken_once_in_a_round(desk):  # noqa: F811
    """Two batches at once under one nonce: one is served, the other told so, and its neighbours do not notice."""

    async def work(here):
        service, source = here.service, "urn:centre:sj01:agent:nonce"
        await together(service, body_from(source, [usage(0, account="nonce")]))
        asks = [asked(service, body_from(source, [usage(n, account="nonce")])) for n in range(1, 4)]
        asks[1] = asks[1][0]._replace(nonce=asks[0][0].nonce), asks[1][1]
        found = await asyncio.gather(*(service.intake.take(*one) for one in asks), return_exceptions=True)
        assert [getattr(one, "code", "served") for one in found] == ["served", "nonce-replayed", "served"]
        assert (await here.figures()).records == 3

    desk(work)


def test_a_batch_behind_a_round_sees_what_the_round_took(desk):  # noqa: F811
    """Both wait for the same turn of the writer, and the batch needs a look at its records: none is refused, none counts twice."""

    async def work(here):
        service, source, gate = here.service, "urn:centre:sj01:agent:behind", asyncio.Event()
        await together(service, body_from(source, [usage(0, account="behind")]))
        both = (Accelerator("A100", 500), Accelerator("H100-SXM", 500))
        quick = body_from(source, [usage(n, account="behind") for n in (1, 2, 3)])
        careful = body_from(source, [usage(2, account="behind"), usage(4, account="behind", accelerators=both)])
        busy = asyncio.create_task(service.journal.transact(lambda _: gate.wait()))
        asks = []
        for body in (quick, careful):
            for _ in range(20):
                await asyncio.sleep(0)
            asks.append(asyncio.create_task(together(service, body)))
        for _ in range(20):
            await asyncio.sleep(0)
        gate.set()
        first, second = await asyncio.gather(*asks)
        await busy
        assert [one["status"] for one in first["results"]] == ["accepted"] * 3
        assert [one["status"] for one in second["results"]] == ["duplicate", "accepted"]
        assert (await here.figures()).records == 5

    desk(work)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("what", ["ids", "key", "nonce"])
def test_a_round_sees_the_one_that_is_in_the_air(desk, monkeypatch, what, fails):  # noqa: F811
    """While a round is on its way to the disk, its ids, keys and nonces are taken; also if it must be done again."""

    async def work(here):
        service, source = here.service, "urn:centre:sj01:agent:air"
        await together(service, body_from(source, [usage(0, account="air")]))
        body, overlap, later = (
            body_from(source, [usage(n, account="air") for n in numbers]) for numbers in ((2, 3), (3, 4), (6, 7))
        )
        first, after = asked(service, body, "first"), asked(service, later)
        asks = {
            "ids": asked(service, overlap),
            "key": asked(service, body, "first"),
            "nonce": (after[0]._replace(nonce=first[0].nonce), after[1]),
        }
        async with slow_disk(service.database, fails=fails) as begun:
            flying = asyncio.create_task(service.intake.take(*first))
            await begun.wait()
            looked, looks, look_up = asyncio.Event(), [], intake._look_up

            async def told(*asked):
                looks.append(seen := await look_up(*asked))
                looked.set()
                return seen

            monkeypatch.setattr(intake, "_look_up", told)
            others = [asyncio.create_task(service.intake.take(*one)) for one in (asks[what], after)]
            await looked.wait()
        answer = json.loads(await flying)
        other, last = await asyncio.gather(*others, return_exceptions=True)
        assert json.loads(last)["accepted"] == 2
        if what == "ids":
            assert [one["status"] for one in json.loads(other)["results"]] == ["duplicate", "accepted"]
        elif what == "key":
            assert json.loads(other) == answer
        else:
            assert getattr(other, "code", "") == "nonce-replayed"
        assert (await here.figures()).records == 5 + (what == "ids")

    desk(work)


@contextlib.asynccontextmanager
async def slow_disk(database, *, fails):
    """Keep the next round in the air until the block ends; then it lands, or the disk fails once."""
    begun, go = asyncio.Event(), asyncio.Event()
    write_rows = database.write_rows

    async def slow(expected, rows):
        database.write_rows = write_rows
        begun.set()
        await go.wait()
        if fails:
            raise OSError("the disk is away")
        return await write_rows(expected, rows)

    database.write_rows = slow
    yield begun
    go.set()


def test_ids_with_quotes_are_answered_as_json(desk):  # noqa: F811
    """Ids may hold whatever prints; the answer is JSON all the same."""

    async def work(here):
        service, source = here.service, "urn:centre:sj01:agent:quotes"
        await together(service, body_from(source, [usage(0, account="q")]))
        for name in ('a"b', "a\\b", "券{}"):
            body = body_from(source, [usage(0, id=name, account="q")])
            assert isinstance(asked(service, body)[1], Compact)
            assert (await together(service, body))["results"] == [{"id": name, "status": "accepted"}]

    desk(work)


def test_expanded_it_is_the_batch_that_was_sent():
    """What travels compactly between processes is the whole batch."""
    records = [usage(n, voucher="v" if n == 1 else None, account=f"a{n % 2}") for n in range(4)]
    found = read_cloudevents(body_from("urn:centre:sj01:agent:x", records), NOON_US + 10 * HOUR_MS * 1000)
    assert isinstance(found, Compact)
    batch = expand(found)
    assert batch.voucher == [None, "v", None, None]
    assert (batch.account, batch.id) == ([one.account for one in records], [one.id for one in records])
