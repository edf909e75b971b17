"""Whatever is said of usage, in whatever order and however often: the books say what counts, to the last unit."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ledger.amount import CNY, parse_units
from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from metering.agent.events import batch_body, encode_event, number_event
from metering.batch import decode_cloudevents, read_cloudevents
from metering.corrections import Correction
from metering.history import History
from metering.model import Accelerator
from metering.quarantine import Verdict
from metering.rating import rate_one
from metering.zones import rfc3339
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup
from suanquan.use_cases.corrections import correct, open_corrected
from suanquan.use_cases.desk import decide_waiting
from suanquan.use_cases.ingest import Request, ingest
from suanquan.use_cases.quarantine import Decision, list_waiting, parse_place
from suanquan.use_cases.settle import Said
from suanquan.use_cases.shares import Terms
from suanquan.use_cases.statement import statement
from tests.conftest import ALL
from tests.suanquan.harness import (
    A100_HOUR,
    HOUR_MS,
    NOON_US,
    PASSPHRASE,
    figures,
    give,
    install,
    usage,
)
from voucher.holder import sandbox_uscc

SOURCE = "urn:centre:sj01:agent:test"
DAY_US = 86_400_000_000
EXAMPLES = 60 if ALL else 12
BACK_ENDS = ["sqlite", "postgresql"]


class Desk:
    """A service asked by its use cases, as HTTP does after it has checked the signature."""

    def __init__(self, service):
        self.service, self._sequence = service, itertools.count(1)

    async def report(self, *records):
        """Statuses that a batch gets."""
        body = batch_body(number_event(encode_event(one, SOURCE), next(self._sequence)) for one in records)
        batch = read_cloudevents(body, self.service.now_us)
        nonce = secrets.token_hex(16)
        about = Request("sj01", "kid", nonce, self.service.now_us + 1, nonce, sha256(body).digest())
        answer = json.loads(await self.service.intake.take(about, batch))
        return [result["status"] for result in answer["results"]]

    async def correct(self, *corrections):
        """What becomes of corrections that two persons of the office made."""
        rules = self.service.rules
        terms = Terms("sj01", rules.tariffs("sj01"), rules.schemes)
        said = Said(sha256(repr(corrections).encode()).digest(), bytes(8), rules.ruleset)
        signed = [replace(one, reason="wrong", requested_by="甲", approved_by="乙") for one in corrections]

        async def work(tx):
            return await correct(tx, said, await open_corrected(tx, SOURCE, "sj01"), terms, signed)

        return [result.status for result in await self.service.journal.transact(work)]

    async def say(self, fact):
        if isinstance(fact, Correction):
            return await self.correct(fact)
        return await self.report(fact)

    async def stated(self, account):
        """What an account's statement says that counts: each record with its time, cards and price."""
        lines, before = [], 2**62
        while before:
            async with self.service.database.read() as connection:
                page = await statement(connection, self.service.catalog, EVERYTHING, "sj01", account, before)
            lines += [line for line in page["lines"] if line["counts"]]
            before = page["next"]
        lines += [line for line in page["settled"] if line["state"] != "VOIDED"]
        return sorted(
            (
                line["id"],
                line["start"],
                line["end"],
                line["accelerators"],
                line["gpu_ms"],
                parse_units(line["yuan"], CNY),
            )
            for line in lines
        )

    async def figures(self):
        found = await figures(self.service.database, self.service.catalog)
        found.assert_conserved()
        return found


def as_stated(records, tariffs):
    """Records as `Desk.stated` tells them."""
    return sorted(
        (
            one.id, rfc3339(one.start_us), rfc3339(one.end_us), {part.model: part.count_milli for part in one.accelerators},
            one.gpu_ms, rate_one(one, tariffs),
        )
        for one in records
    )  # fmt: skip


@pytest.fixture(params=BACK_ENDS)
def desk(request, tmp_path):
    """A desk on either database, in a loop of its own: `desk(work)` runs some work there."""
    yield from desk_on(request, tmp_path)


def desk_on(request, tmp_path, prepare=lambda home: None):
    """What a fixture that is a desk yields; `prepare` may change the home before the service opens."""
    databases = request.getfixturevalue("databases") if request.param == "postgresql" else None
    place = databases.create("truth") if databases else None
    opened = Settings(sandbox=True, database_url=place.url) if place else Settings(sandbox=True)
    home = install(tmp_path / "home", opened).home
    prepare(home)
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        service = runner.run(stack.enter_async_context(open_service(home, PASSPHRASE)))
        here = Desk(service)
        yield lambda work: runner.run(work(here))
        runner.run(stack.aclose())
    if place:
        databases.drop(place)


@st.composite
def lives(draw, record_id, accounts):
    """Everything said of one id: checkpoints, perhaps a report, perhaps corrections; each perhaps repeated."""

    def closed():
        start = NOON_US + draw(st.integers(-40 * 24, 0)) * HOUR_MS * 1000
        seconds = draw(st.sampled_from([0, 1, 3599, 3600, 86_400 * 3]))
        models = draw(st.lists(st.sampled_from(["A100", "H100-SXM"]), min_size=1, max_size=2, unique=True))
        cards = tuple(Accelerator(model, draw(st.integers(1, 8000))) for model in models)
        return usage(
            0, id=record_id, account=draw(st.sampled_from(accounts)), start_us=start, end_us=start + seconds * 1_000_000,
            active_ms=draw(st.integers(0, seconds * 1000)), accelerators=cards,
        )  # fmt: skip

    report = closed()
    span = report.end_us - report.start_us
    facts = [
        replace(
            report, end_us=report.start_us + span * part // 100, active_ms=report.active_ms * part // 100, final=False,
            state="RUNNING",
        )
        for part in draw(st.lists(st.integers(1, 120), max_size=3))
    ]  # fmt: skip
    facts += [report] if draw(st.booleans()) else []
    revisions = range(1, draw(st.integers(0, 3)) + 1) if facts else []
    facts += [Correction(record_id, revision, closed() if draw(st.booleans()) else None) for revision in revisions]
    return [fact for fact in facts for _ in range(draw(st.integers(1, 2)))]


@st.composite
def histories(draw):
    found = [fact for at in range(draw(st.integers(1, 3))) for fact in draw(lives(f"r{at}", ["own", "paid"]))]
    found = [fact for fact in found if not (isinstance(fact, Correction) and fact.is_void)] + [
        fact for fact in found if isinstance(fact, Correction) and fact.is_void
    ]
    return draw(st.permutations(found))


def renamed(fact, number):
    """The fact as of this example: its ids and accounts are nobody else's."""
    if isinstance(fact, Correction):
        record = fact.record and renamed(fact.record, number)
        return replace(fact, record_id=f"{number:05d}-{fact.record_id}", record=record)
    return replace(fact, id=f"{number:05d}-{fact.id}", account=f"{fact.account}{number}")


def told_first(facts):
    """Orders that a service takes: a void of what nobody ever spoke of is refused, so something comes before it."""
    seen, later = set(), []
    for fact in facts:
        name = fact.record_id if isinstance(fact, Correction) else fact.id
        if isinstance(fact, Correction) and fact.is_void and name not in seen:
            later.append(fact)
            continue
        seen.add(name)
        yield fact
    yield from (fact for fact in later if fact.record_id in seen)


def test_any_order_of_facts_gives_what_counts(desk):
    """Reports, checkpoints and corrections, permuted and repeated, against the sorted history: sums, statements, vouchers, log."""
    numbers = itertools.count(1)

    async def stock(here):
        stored = await give(here.service, sandbox_uscc(1), "9000000")
        return stored.jti

    jti = desk(stock)
    spent = 0

    @settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate])  # a service is too slow to shrink with
    @given(histories())
    def play(facts):
        nonlocal spent
        number = next(numbers)
        facts = [renamed(fact, number) for fact in told_first(facts)]
        history = History()
        for fact in facts:
            history.apply(fact)

        async def work(here):
            await setup.bind_account(here.service.journal, "sj01", f"paid{number}", sandbox_uscc(1))
            for fact in facts:
                [status] = await here.say(fact)
                assert status in {"accepted", "duplicate"}
            tariffs = here.service.catalog.tariffs("sj01")
            for account in (f"own{number}", f"paid{number}"):
                counting = [one for one in history.effective() if one.account == account]
                assert await here.stated(account) == as_stated(counting, tariffs)
            return await here.figures(), tariffs

        found, tariffs = desk(work)
        owed = {"own": 0, "paid": 0}
        gpu_ms = dict(owed)
        for record in history.effective():
            kind = record.account.removesuffix(str(number))
            owed[kind] += rate_one(record, tariffs)
            gpu_ms[kind] += sum(part.count_milli * record.active_ms // 1000 for part in record.accelerators)
        for kind, due in owed.items():
            rows = [row for (account, _), row in found.usage.items() if account == f"{kind}{number}"]
            assert sum(row["rated_units"] for row in rows) == due
            assert sum(row["gpu_ms"] for row in rows) == gpu_ms[kind]
        assert found.self_pay.get(f"sj01/own{number}", 0) == owed["own"]
        spent += owed["paid"]
        assert found.debited == spent
        assert found.balances[f"voucher/{jti}"] == 9_000_000 * A100_HOUR // 12 - spent

    play()


def test_void_then_the_same_again_is_identity(desk):
    """Vouchers that run out within a batch: what one record drew goes back to where it came from, and is drawn again."""

    async def work(here):
        await give(here.service, sandbox_uscc(1), "20.000001", accounts=["alone"])
        await give(here.service, sandbox_uscc(1), "5", unit="PFLOPS.h")
        await give(here.service, sandbox_uscc(1), "7.5")
        records = [usage(n, cards_milli=700 + n) for n in range(5)]
        assert set(await here.report(*records)) == {"accepted"}
        before = await here.figures()
        for record in (records[1], records[4], records[0]):
            assert await here.correct(Correction(record.id, 1, None)) == ["accepted"]
            voided = await here.figures()
            assert voided.rated == before.rated - A100_HOUR * record.gpu_ms // HOUR_MS // 1
            assert await here.correct(Correction(record.id, 2, record)) == ["accepted"]
            after = await here.figures()
            assert (after.usage, after.balances, after.debited) == (before.usage, before.balances, before.debited)
        assert set(await here.report(*records)) == {"duplicate"}
        assert (await here.figures()).balances == before.balances

    desk(work)


def test_a_batch_gives_its_first_answer_again(desk):
    """Checkpoints, a report of one and a plain record together: the same key, the same answer, nothing twice."""

    async def work(here):
        whole = usage(1)
        part = replace(whole, end_us=NOON_US + 60_000_000, active_ms=60_000, final=False, state="RUNNING")
        assert await here.report(part) == ["accepted"]
        less = replace(part, end_us=NOON_US + 30_000_000, active_ms=30_000)
        body = batch_body(
            number_event(encode_event(one, SOURCE), n) for n, one in enumerate((whole, usage(2), less), 7)
        )
        batch = decode_cloudevents(body, here.service.now_us)
        rules, issuer = here.service.rules, here.service.issuer
        answers = []
        for nonce in "ab":
            about = Request("sj01", "kid", nonce * 20, here.service.now_us, "same", sha256(body).digest())
            answers.append(await here.service.journal.transact(lambda tx, a=about: ingest(tx, a, batch, rules, issuer)))
        assert answers[0] == answers[1]
        assert [(one.status, one.code) for one in answers[0].results] == [
            ("accepted", ""), ("accepted", ""), ("accepted", "superseded")
        ]  # fmt: skip
        assert (await here.figures()).rated == 2 * A100_HOUR

    desk(work)


def test_what_waits_is_released_once_as_if_it_had_come_then(desk):
    """Over capacity, too long, a clock ahead: kept, no debt; released it is rated like any other, and only once."""
    long_us = 91 * 86_400_000_000
    records = [
        usage(1),
        usage(2, cards_milli=1_000_001),
        usage(3, start_us=NOON_US - long_us, end_us=NOON_US, active_ms=HOUR_MS),
        usage(4, model="unheard-of"),
    ]

    async def work(here):
        ahead = usage(5, end_us=here.service.now_us + HOUR_MS * 1000)
        assert await here.report(*records, ahead) == ["accepted", "held", "held", "held", "held"]
        assert await here.report(usage(1, cards_milli=5)) == ["conflict"]
        async with here.service.database.read() as connection:
            waiting = {row["id"]: row for row in await list_waiting(connection, EVERYTHING)}
        assert {row["code"] for row in waiting.values()} == {
            "over-capacity", "implausible-duration", "model-unknown", "clock-skew", "id-reused"
        }  # fmt: skip
        assert (await here.figures()).rated == A100_HOUR

        async def decide(record, verdict=Verdict.RELEASE):
            decision = Decision(parse_place(waiting[record.id]["place"]), verdict, "甲", "核实无误")
            return await decide_waiting(here.service.journal, here.service.rules, decision)

        for _ in range(2):
            assert (await decide(records[2]))["verdict"] == "release"
        assert (await here.figures()).rated == 2 * A100_HOUR
        for record, code in ((records[3], "model-unknown"), (records[0], "correction-needed"), (ahead, "clock-ahead")):
            with pytest.raises(DomainError) as refused:
                await decide(record)
            assert refused.value.code == code
        assert (await decide(records[3], Verdict.REJECT))["verdict"] == "drop"
        assert await here.correct(
            Correction(records[1].id, 1, replace(records[1], accelerators=(Accelerator("A100", 1000),)))
        ) == ["accepted"]
        with pytest.raises(DomainError) as refused:
            await decide(records[1])
        assert refused.value.code == "superseded"
        assert (await here.figures()).rated == 3 * A100_HOUR
        async with here.service.database.read() as connection:
            assert {row["id"] for row in await list_waiting(connection, EVERYTHING)} == {
                records[0].id,
                records[1].id,
                ahead.id,
            }

    desk(work)
