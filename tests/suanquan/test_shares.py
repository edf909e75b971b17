"""Nobody crowds the others out: writes go by turns of the keys, and of one caller only so much may be under way."""

import asyncio
import contextlib
import itertools
import json
import random
import secrets
import statistics
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger.ed25519 import PublicKey
from ledger.errors import DomainError
from metering.agent.client import UsageClient
from metering.agent.daemon import Sender
from metering.agent.events import batch_body, encode_event, number_event
from metering.agent.receipts import receipt_verifier
from metering.agent.spool import Spool
from metering.batch import read_cloudevents
from suanquan.access.passwords import TOGETHER
from suanquan.service import open_service
from suanquan.turns import Gate, Turns
from suanquan.use_cases import setup
from suanquan.use_cases.ingest import Request
from suanquan.use_cases.intake import ROUND_MAX
from suanquan.use_cases.spend_acts import Release
from suanquan.use_cases.till import TOGETHER_MAX, Till
from tests.conftest import ALL
from tests.suanquan.harness import (
    CENTRES,
    PASSPHRASE,
    Agent,
    ProcessService,
    ThreadedService,
    assert_problem,
    figures_of,
    request,
    usage,
)
from tests.suanquan.noise import RECORDS, Reporter

WAIT_S = 60


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 5))), st.lists(st.integers(1, 6)))
def test_turns_go_round_and_keep_the_order_of_each(items, sizes):
    """All come out once, each name's in its order; between two of one name every other that waited comes once."""
    turns, taken = Turns(), []
    for place, (name, weight) in enumerate(items):
        turns.add(name, (name, place, weight))
    for most in [*sizes, len(items) + 1]:
        some = turns.take(most, lambda item: item[2], 8)
        assert len(some) <= most
        assert sum(item[2] for item in some[:-1]) < 8
        taken += some
    taken += turns.take(len(items))
    assert len(turns) == 0
    assert sorted(place for _, place, _ in taken) == list(range(len(items)))
    for name in "abcd":
        places = [at for at, item in enumerate(taken) if item[0] == name]
        assert [taken[at][1] for at in places] == sorted(taken[at][1] for at in places)
        for first, second in itertools.pairwise(places):
            between = [taken[at][0] for at in range(first + 1, second)]
            assert len(between) == len(set(between))
            assert set(between) == {item[0] for item in taken[first + 1 :]} - {name}


def test_a_gate_lets_in_by_turns_and_loses_no_place():
    """With two inside the others wait; who gives up while waiting, or in the moment it is called, keeps no place."""

    async def run():
        gate, inside, told = Gate(2), asyncio.Event(), []

        async def pass_through(name):
            async with gate.turn(name):
                told.append(name)
                await inside.wait()

        tasks = [asyncio.create_task(pass_through(name)) for name in ["a1", "a2", *["a"] * 5, "b"]]
        await asyncio.sleep(0)
        assert told == ["a1", "a2"]
        tasks[2].cancel()
        inside.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[3].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert told.index("b") <= 4
        assert gate._free == 2

    asyncio.run(run())


class Blocked:
    """A service whose writer stands still until it is let go: whatever is asked meanwhile waits."""

    def __init__(self, service):
        self._journal, self._free, self._begun = service.journal, asyncio.Event(), asyncio.Event()

    async def __aenter__(self):
        self._work = asyncio.create_task(self._journal.transact(self._stand))
        await self._begun.wait()
        return self

    async def _stand(self, _tx):
        self._begun.set()
        await self._free.wait()

    async def __aexit__(self, *_):
        self._free.set()
        await self._work


def about(service, kid, body=b""):
    return Request("sj01", kid, secrets.token_hex(16), service.now_us + 1, secrets.token_hex(16), sha256(body).digest())


def batch(service, source, numbers, **changes):
    """A batch of records with these numbers, as the route hands it on."""
    events = (
        number_event(encode_event(usage(one, id=f"{source}:{one:06d}", **changes), f"urn:centre:sj01:agent:{source}"), one)
        for one in numbers
    )  # fmt: skip
    return read_cloudevents(batch_body(events), service.now_us)


def usage_asks(service):
    """Batches that are served in rounds; sources are known beforehand, else they need a look at single records."""
    take = service.intake.take
    return (
        lambda kid, at: take(about(service, kid), batch(service, kid, [at + 2])),
        lambda kid: take(about(service, kid), batch(service, kid, [1])),
        ROUND_MAX,
    )


def careful_asks(service):
    """Batches with a record of an unknown card, which are served one by one."""
    take = service.intake.take
    return (
        lambda kid, at: take(about(service, kid), batch(service, kid, [at + 2], model="unheard-of")),
        lambda kid: take(about(service, kid), batch(service, kid, [1])),
        8,
    )


def till_asks(service):
    """Releases of a hold that there is not."""
    till = Till(service.journal, lambda: service.issuer)

    async def ask(kid, _at):
        with contextlib.suppress(DomainError):
            await till.ask(about(service, kid), Release("0" * 32))

    return ask, lambda kid: ask(kid, 0), TOGETHER_MAX


@pytest.mark.parametrize("make", [usage_asks, careful_asks, till_asks])
def test_a_backlog_stands_before_nobody(installation, make):
    """Of a key with a long backlog and one with three requests that came last, those three are answered with the next round."""

    async def run():
        told = []
        async with open_service(installation.home, PASSPHRASE) as service:
            ask, warm, together = make(service)

            async def keep(kid, at):
                await ask(kid, at)
                told.append(kid)

            for kid in ("noisy", "quiet"):
                await warm(kid)
            async with Blocked(service):
                tasks = [asyncio.create_task(keep("noisy", at)) for at in range(3 * together)]
                await asyncio.sleep(0)
                tasks += [asyncio.create_task(keep("quiet", at)) for at in range(3)]
                await asyncio.sleep(0)
            await asyncio.gather(*tasks)
        assert len(told) == 3 * together + 3
        last = max(at for at, kid in enumerate(told) if kid == "quiet")
        assert last < 2 * together, told

    asyncio.run(run())


@pytest.fixture
def narrow(installation, monkeypatch):
    """A service in which a key may have four requests under way, and a person two."""
    monkeypatch.setenv("SUANQUAN_KEY_REQUESTS_MAX", "4")
    monkeypatch.setenv("SUANQUAN_PERSON_REQUESTS_MAX", "2")
    with ThreadedService(installation.home) as running:
        yield running


@contextlib.contextmanager
def standing_still(running):
    """The writer of a running service stands still within the block."""
    block = Blocked(running.service)
    running.call(block.__aenter__())
    try:
        yield
    finally:
        running.call(block.__aexit__())


def refused_of(running, code):
    """How many requests the metrics say were refused for this."""
    page = request(running.url, "GET", "/metrics").content.decode()
    (line,) = (one for one in page.splitlines() if one.startswith(f'http_requests_refused_total{{code="{code}"}}'))
    return int(float(line.rsplit(" ", 1)[1]))


def until(calls, count):
    """Wait until so many are answered."""
    done, left = set(), set(calls)
    while len(done) < count:
        some, left = wait(left, WAIT_S, FIRST_COMPLETED)
        assert some, f"{len(done)} of {count} answered"
        done |= some
    return [one.result() for one in done]


def test_a_key_that_is_full_is_told_to_come_back(narrow, installation, tmp_path):
    """The fifth request of a key gets 429 with Retry-After and changes nothing; another key is let in; agents lose nothing."""
    agents = [Agent(narrow.url, name=f"a{number}") for number in range(6)]
    other, blocked = Agent(narrow.url, "sj02"), Agent(narrow.url, name="spooled")
    with Spool(tmp_path / "spool.db", blocked.source, batch_records_max=5) as spool, ThreadPoolExecutor(8) as pool:
        spool.append([usage(number, id=f"spooled:{number:03d}") for number in range(12)])
        client = UsageClient(narrow.url, blocked.source, blocked.key, receipt_verifier(narrow.url))
        with standing_still(narrow):
            calls = [pool.submit(agent.report, agent.event(at)) for at, agent in enumerate(agents, 1)]
            for answer in until(calls, 2):
                assert_problem(answer, 429, "too-many-at-once")
                assert answer.headers["retry-after"] == "1"
            one_more = agents[0].event(9)
            assert_problem(agents[0].report(one_more), 429, "too-many-at-once")
            headers = agents[0].sign(b"[]")
            headers["signature"] = headers["signature"].replace("sig1=:", "sig1=:AAAA")
            assert_problem(agents[0].send(b"[]", headers), 429, "too-many-at-once")
            reply, _ = Sender(spool, client).step()
            assert (reply.status, reply.retry_after_s) == (429, 1)
            elsewhere = pool.submit(other.report, other.event(1))
            assert refused_of(narrow, "too-many-at-once") == 5
            assert sum(call.done() for call in (*calls, elsewhere)) == 2
        assert elsewhere.result().statuses == ["accepted"]
        assert sorted(call.result().status for call in calls) == [200] * 4 + [429] * 2
        assert agents[0].report(one_more).statuses == ["accepted"]
        while step := Sender(spool, client).step():
            assert step[0].status == 200
        assert (spool.status().unsent, spool.status().sent) == (0, 12)
        client.close()
    assert narrow.figures().records == 4 + 1 + 1 + 12


def test_a_person_has_a_share_as_well(narrow, installation):
    """The third request of one account gets 429 while two are under way; when they are answered it may ask again."""
    order = {"scheme": "cn-sh-songjiang-sandbox", "holder": "91310000M0001000X5", "amount": "1", "reason": "a reason"}

    def issue(number):
        headers = {"Authorization": f"Bearer {installation.token}", "Content-Type": "application/json"}
        body = json.dumps(order).encode()
        return request(narrow.url, "POST", "/v1/vouchers", body, headers | {"Idempotency-Key": str(number)})

    with ThreadPoolExecutor(3) as pool:
        with standing_still(narrow):
            calls = [pool.submit(issue, number) for number in range(3)]
            (answer,) = until(calls, 1)
            assert_problem(answer, 429, "too-many-at-once")
        assert {call.result().status for call in calls} - {429} == {issue(9).status}


def test_log_ins_take_no_place_of_others(installation, monkeypatch):
    """While hashes are computed and the share of log-ins is used up, the next is told to come back; agents and monitors are let in."""
    monkeypatch.setenv("SUANQUAN_ROUTE_REQUESTS_MAX", "2")
    typed = json.dumps({"name": "nobody", "password": "a long password"}).encode()
    with ThreadedService(installation.home) as running, ThreadPoolExecutor(3) as pool:
        turns = running.service.access.passwords._turns
        for _ in range(TOGETHER):
            running.call(turns.acquire())
        calls = [
            pool.submit(request, running.url, "POST", "/v1/sessions", typed, {"Content-Type": "application/json"})
            for _ in range(3)
        ]
        (answer,) = until(calls, 1)
        assert_problem(answer, 429, "too-many-at-once")
        assert Agent(running.url).report_records([usage(1)]).statuses == ["accepted"]
        assert request(running.url, "GET", "/healthz").status == 200
        assert request(running.url, "GET", "/notices").status == 200
        for _ in range(TOGETHER):
            running._loop.call_soon_threadsafe(turns.release)
        assert sorted(call.result().status for call in calls) == [401, 401, 429]


QUIET, PER_SECOND, WINDOW_S, PAIRS = 8, 10, 4, 15
NOISE = 10


def keyed(name):
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


async def window(url, quiet, noisy, *, reports):
    """Let the quiet agents report for a window, beside the noisy one or without it; the p99 of their answers, in ms."""
    loop = asyncio.get_running_loop()
    sent = [[one.report() for _ in range(PER_SECOND * WINDOW_S)] for one in quiet]
    noise = [noisy.report() for _ in range(reports)]
    for one in (*quiet, noisy):
        await one.open()
        one.seconds.clear()
    begin = loop.time() + 0.2
    others = asyncio.create_task(noisy.steadily(noise, NOISE * PER_SECOND, begin)) if noise else None
    await asyncio.gather(
        *(one.steadily(some, PER_SECOND, begin + random.random() / PER_SECOND) for one, some in zip(quiet, sent, strict=True))
    )  # fmt: skip
    if others:
        await others
    times = sorted(seconds for one in quiet for seconds in one.seconds)
    for one in (*quiet, noisy):
        await one.close()
    return times[len(times) * 99 // 100] * 1000


@pytest.mark.skipif(not ALL, reason="measured with --all")
def test_a_noisy_agent_costs_the_others_little(installation, tmp_path):
    """Beside an agent that reports ten times as often as each of eight others, their p99 is less than a fifth higher."""
    names = [f"quiet-{number}" for number in range(QUIET)]

    async def register():
        async with open_service(installation.home) as service:
            for name in (*names, "noisy"):
                centre = CENTRES[0 if name == "noisy" else 1]
                await setup.register_agent_key(service.journal, centre, PublicKey.of(keyed(name)))

    asyncio.run(register())

    async def measure(url):
        quiet = [Reporter(url, CENTRES[1], name, keyed(name)) for name in names]
        noisy = Reporter(url, CENTRES[0], "noisy", keyed("noisy"), connections=16)
        found = {0: [], NOISE * PER_SECOND * WINDOW_S: []}
        await window(url, quiet, noisy, reports=0)  # sources become known, caches fill
        for pair in range(PAIRS):
            for reports in sorted(found, reverse=pair % 2):
                found[reports].append(await window(url, quiet, noisy, reports=reports))
        return found.values(), [one.statuses for one in (*quiet, noisy)]

    with ProcessService(installation, tmp_path / "log") as running:
        (alone, beside), statuses = asyncio.run(measure(running.url))
        assert running.stop() == 0
    ratios = [with_noise / without for without, with_noise in zip(alone, beside, strict=True)]
    print("p99 ms alone", [round(one, 2) for one in alone], "beside", [round(one, 2) for one in beside])
    print(f"medians {statistics.median(alone):.2f} and {statistics.median(beside):.2f} ms")
    ratio = statistics.median(beside) / statistics.median(alone)
    print(f"ratio of medians {ratio:.3f}, median of ratios {statistics.median(ratios):.3f}")
    assert {status for told in statuses for status in told} == {200}
    assert figures_of(installation.home).records == RECORDS * sum(map(len, statuses))
    assert ratio < 1.2
