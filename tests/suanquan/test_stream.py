"""Usage through a real JetStream server: once in the books, answered record by record, whatever dies and comes again."""

import contextlib
import random
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from nats.js.errors import NotFoundError

from ledger.jws import verify as verify_jws
from metering import stream
from metering.agent.client import Verdict
from metering.agent.config import NatsConfig
from metering.agent.daemon import Sender
from metering.agent.events import batch_body, encode_event, number_event
from metering.agent.keys import AgentKey
from metering.agent.nats_client import NatsClient
from metering.agent.spool import Spool
from metering.summary import Summary
from suanquan.home import write_secret
from suanquan.http.usage import AgentKeys
from suanquan.streaming import consumer
from suanquan.streaming.consumer import DURABLE, consuming
from suanquan.streaming.take import Message, take
from suanquan.use_cases.ingest import RECEIPT_TYPE
from tests.conftest import ALL
from tests.metering.sources.test_forms import TRACES, live
from tests.nats_servers import NatsServers
from tests.shared_data import ROOT, needs_shared
from tests.suanquan.harness import (
    A100_HOUR,
    KEYS,
    Agent,
    ThreadedService,
    usage,
)
from tests.suanquan.stocked import stocked

SOURCE = "urn:centre:sj01:agent:test"
MINE = stream.usage_subject(SOURCE)


@contextlib.contextmanager
def consumed(home, servers):
    """The service of a home, consuming."""
    with ThreadedService(home) as running, consumer_of(running, servers):
        yield running


@contextlib.contextmanager
def consumer_of(running, servers):
    running.service.settings = running.service.settings.model_copy(update={"nats_url": servers.url})
    entered = consuming(running.service)
    running.call(entered.__aenter__())
    deadline = time.monotonic() + 20
    while not made(servers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield
    finally:
        running.call(entered.__aexit__(None, None, None))


def made(servers):
    """Whether the streams are there."""
    with contextlib.suppress(NotFoundError):
        return servers.ask(lambda js: js.consumer_info(stream.USAGE, DURABLE))


def client(servers, home, url, *, key="sj01", source=SOURCE, answer_s=20):
    keys = home.load_registry().verifying_keys()
    signing = AgentKey(KEYS[key], Agent(url, "sj01").key.kid) if key == "sj01" else Agent(url, key).key
    check = lambda text: verify_jws(text, keys, RECEIPT_TYPE)  # noqa: E731
    config = servers if isinstance(servers, NatsConfig) else NatsConfig(servers.url)
    return NatsClient(config, url, source, signing, check, answer_s=answer_s)


def record(number):
    return usage(number, account=("alone", "covered")[number % 2])


def spooled(path, records, **options):
    spool = Spool(path, SOURCE, **options)
    spool.append(records)
    return spool


def waiting(servers):
    return servers.ask(lambda js: js.stream_info(stream.USAGE)).state.messages


def test_records_are_answered_one_by_one(home_on, servers, tmp_path):
    """Accepted, duplicate, held and conflicting records get the same answers and a receipt as over HTTP; the books agree."""
    with consumed(home_on.home, servers) as running:
        records = [record(1), record(2), usage(3, model="Nobody's"), record(1), usage(2, account="other")]
        with (
            spooled(tmp_path / "spool", records, batch_records_max=10) as spool,
            client(servers, home_on.home, running.url) as way,
        ):
            batch = spool.next_batch()
            reply = way.post(batch)
            statuses = [result.status for result in reply.results]
            assert (reply.verdict, statuses) == (Verdict.DELIVERED, ["accepted", "accepted", "held", "conflict"])
            again = way.post(batch)
            assert (again.results, again.receipt) == (reply.results, reply.receipt)
            assert abs(reply.clock_skew_s) <= 1
            spool.settle(batch, reply.results, reply.receipt)
            assert {outcome.status for outcome in spool.outcomes()} == {"held", "conflict"}
        figures = running.figures()
        assert (figures.rated, figures.debited) == (2 * A100_HOUR, A100_HOUR)
        figures.assert_conserved()
    assert waiting(servers) == 0


class Delivery:
    """Messages as a stream gives them, without one: what a consumer does with each is asked for directly."""

    def __init__(self, running):
        self._service, self._keys, self._agent = running.service, AgentKeys(running.service), Agent(running.url)
        self._call = running.call

    def message(self, sequence, *records, subject=MINE, stored_us=None, **signed):
        body = batch_body(number_event(encode_event(r, SOURCE), n) for n, r in enumerate(records, 1))
        headers = self._agent.sign(body, **signed)
        return Message("S@1", sequence, subject, headers, body, stored_us or time.time_ns() // 1000)

    def take(self, message):
        return self._call(take(self._service, self._keys, message))


@pytest.fixture
def delivery(home_on):
    with ThreadedService(home_on.home) as running:
        yield Delivery(running), running


def test_a_message_is_taken_once(delivery):
    """Redelivered it gets its answer again, though the key was revoked; a copy is a replay; the same key anew counts nothing."""
    desk, running = delivery
    message = desk.message(7, record(1), record(2), idempotency_key="k")
    first = desk.take(message)
    assert first.status == 200
    copy = desk.take(message._replace(sequence=8))
    assert (copy.status, b"nonce-replayed" in copy.body) == (401, True)
    assert desk.take(desk.message(9, record(1), record(2), idempotency_key="k")) == first
    assert desk.take(desk.message(10, record(5), idempotency_key="k")).status == 422
    desk._keys._keys, desk._keys._read_at = {}, time.monotonic_ns()
    desk._keys.refresh = lambda _header: _nothing()
    assert desk.take(message) == first
    assert desk.take(message._replace(sequence=8)) == copy
    assert desk.take(desk.message(11, record(6))).status == 401
    assert running.figures().records == 2
    made_anew = desk.take(message._replace(stream="S@2"))
    assert made_anew.status == 401, "another stream counts from 1 again: its messages are judged by themselves"


async def _nothing():
    """Read no keys."""


def test_a_message_is_judged_by_the_time_it_was_handed_over(delivery):
    """One that waited for hours is good if its signature was good then; one that was signed long before is not."""
    desk, running = delivery
    then_s = int(time.time()) - 7200
    late = desk.message(1, record(1), created_s=then_s, stored_us=(then_s + 5) * 1_000_000)
    assert desk.take(late).status == 200
    stale = desk.message(2, record(2), created_s=then_s)
    answer = desk.take(stale)
    assert (answer.status, b"signature-expired" in answer.body) == (401, True)
    assert running.figures().records == 1


def test_a_source_reports_on_its_own_subject(delivery):
    """Nobody can spend another's place in the stream, nor have another's answers."""
    desk, running = delivery
    for subject in (stream.usage_subject("urn:centre:sj02:agent:test"), "suanquan.usage.sj01.other"):
        answer = desk.take(desk.message(len(subject), record(1), subject=subject))
        assert (answer.status, b"foreign-source" in answer.body) == (403, True)
    assert running.figures().records == 0


def test_the_stream_holds_one_message_of_a_source(home_on, servers, tmp_path):
    """While the service is away an agent adds no copies, however often it tries and starts anew; afterwards all is delivered."""
    with consumed(home_on.home, servers):
        pass  # the streams are there
    away = "http://127.0.0.1:9"
    with spooled(tmp_path / "spool", map(record, range(20)), batch_records_max=10) as spool:
        for _ in range(2):
            with client(servers, home_on.home, away, answer_s=1) as way:
                reply = way.post(spool.next_batch())
                assert reply.verdict is Verdict.RETRY
                assert "waits in the stream" in reply.detail
        assert waiting(servers) == 1
        with ThreadedService(home_on.home) as running:
            running.service.settings = running.service.settings.model_copy(update={"public_url": away})
            with consumer_of(running, servers), client(servers, home_on.home, away) as way:
                assert Sender(spool, way, backoff_first_s=0).send_all(threading.Event(), failures_max=3) is None
                assert spool.status().unsent == 0
            figures = running.figures()
    assert (figures.records, figures.rated) == (20, 20 * A100_HOUR)


def test_what_the_service_refuses_is_told(home_on, servers, tmp_path):
    """A key that is not registered is 401 and tried again later; a batch larger than a message is halved."""
    with consumed(home_on.home, servers) as running, spooled(tmp_path / "spool", map(record, range(4))) as spool:
        with client(servers, home_on.home, running.url, key="stranger") as way:
            reply = way.post(spool.next_batch())
            assert (reply.verdict, reply.status) == (Verdict.BLOCKED, 401)
            assert "signature-key-unknown" in reply.problem
        with client(servers, home_on.home, running.url) as way:
            large = replace(spool.next_batch(), body=b" " * (8 << 20))
            assert way.post(large).verdict is Verdict.TOO_LARGE
            assert way.post(spool.next_batch()).verdict is Verdict.DELIVERED, "an earlier refusal decides nothing"
        assert running.figures().records == 4
    with client(servers, home_on.home, "http://127.0.0.1:9") as way:
        servers.kill()
        reply = way.post(spool_batch(tmp_path))
        assert (reply.verdict, reply.detail[:5]) == (Verdict.RETRY, "NATS:")


def spool_batch(folder):
    with spooled(folder / "another", [record(9)]) as spool:
        return spool.next_batch()


@needs_shared
@pytest.mark.parametrize("trace", [*(TRACES if ALL else [live])], ids=lambda trace: trace.__name__)
def test_a_trace_through_the_stream_meets_its_truth(installation, servers, tmp_path, seed, trace):
    """Shuffled, batched at random and sent three times: the books have what the trace says, by account and month."""
    chance = random.Random(seed)
    print(f"seed {seed}")
    cards = {"unknown": "A100"}  # a log without models: its usage would wait
    records = [
        replace(one, accelerators=tuple(replace(p, model=cards.get(p.model, p.model)) for p in one.accelerators))
        for one in trace()
        if one.active_ms
    ]
    expected = Summary("Asia/Shanghai")
    for one in records:
        expected.add(one)
    size = max(20, len(records) // chance.randint(3, 9))
    with consumed(installation.home, servers) as running:
        with (
            spooled(tmp_path / "spool", [], batch_records_max=min(size, 10_000)) as spool,
            client(servers, installation.home, running.url) as way,
        ):
            for time_sent in range(3):
                chance.shuffle(records)
                spool.append(records, again=bool(time_sent))
                assert Sender(spool, way, backoff_first_s=0).send_all(threading.Event(), failures_max=5) is None
        found = running.figures()
    truth = expected.as_json()
    by_account, by_month = Counter(), Counter()
    for (account, month), row in found.usage.items():
        by_account[account] += row["gpu_ms"]
        by_month[f"{month // 100}-{month % 100:02d}"] += row["gpu_ms"]
    assert (by_account, by_month) == (truth["by_account"], truth["by_month"])
    assert found.statuses == {"sj01": {"accepted": len(records), "duplicate": 2 * len(records)}}
    found.assert_conserved()


def test_an_idle_stream_is_left_alone(installation, servers, monkeypatch):
    """Nothing to fetch is no trouble: the connection and the consumer stay as they are."""
    monkeypatch.setattr(consumer, "FETCH_SECONDS", 1)
    with consumed(installation.home, servers):
        before = made(servers).created
        time.sleep(2.5)
        assert made(servers).created == before


def test_the_shipped_permissions_suffice_and_no_more(installation, tmp_path):
    """With `config/nats/nats-server.conf` a batch goes through; an agent may neither report for another centre nor read its answers."""
    (tmp_path / "nats").mkdir()
    shipped = (ROOT / "config/nats/nats-server.conf").read_text("utf-8")
    rights = shipped[shipped.index("authorization {") :].replace("$2a$11$…", "a password")
    write_secret(installation.home.path / "nats-password", b"a password\n")
    file = installation.home.path / "nats-password"
    with NatsServers(tmp_path / "nats", more=rights) as servers, ThreadedService(stocked(installation).home) as running:
        changes = {"nats_url": servers.url, "nats_user": "suanquan", "nats_password_file": "nats-password"}
        running.service.settings = running.service.settings.model_copy(update=changes)
        entered = consuming(running.service)
        running.call(entered.__aenter__())
        config = NatsConfig(servers.url, "sj01", file)
        with client(config, installation.home, running.url) as way:
            deadline = time.monotonic() + 20
            while (reply := way.post(spool_batch(tmp_path))).verdict is not Verdict.DELIVERED:
                assert time.monotonic() < deadline, reply
        agent = {"user": "sj01", "password": "a password"}
        for source in ("urn:centre:sj02:agent:test",):
            for forbidden in (
                lambda js, to=source: js.publish(stream.usage_subject(to), b"", 1),
                lambda js, of=source: js.get_last_msg(stream.ANSWERS, stream.answer_subject(of), direct=True),
                lambda js: js.stream_info(stream.USAGE),
            ):
                with pytest.raises(TimeoutError):
                    servers.ask(forbidden, error_cb=_ignored, **agent)
        running.call(entered.__aexit__(None, None, None))
        assert running.figures().records == 1


async def _ignored(_):
    """The server says that it is not permitted; that it does not happen is what counts."""


def test_names_become_parts_of_subjects():
    """A name that may not stand in a subject is named by its digest, which no other name can be."""
    assert stream.usage_subject("urn:centre:sj01:agent:slurm-1") == "suanquan.usage.sj01.slurm-1"
    odd = {stream.subject_token(text) for text in ("a.b", "a b", "*", ">", "登录节点", "x" * 65, "~abc")}
    assert len(odd) == 7
    assert all(token[0] == "~" and not set(token) & set(". *>") for token in odd)
    assert stream.answer_to(stream.usage_subject(SOURCE)) == stream.answer_subject(SOURCE)
