"""Whatever network and service do, every record arrives once, and only an answer that proves it lets the agent forget."""

import functools
import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from metering.agent.client import UsageClient, Verdict, usage_uri
from metering.agent.config import AgentConfig
from metering.agent.daemon import Sender, run
from metering.agent.keys import AgentKey, create_key, load_key
from metering.agent.spool import Spool
from metering.agent.view import SpoolView
from tests.metering.agent import usage_service as faulty
from tests.metering.agent.usage_service import SOURCE, Service, receipt, usage, verify_receipt

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"a" * 32)
PUBLIC = PublicKey.of(PRIVATE)
KEY = AgentKey(PRIVATE, PUBLIC.kid)
RECORDS = [usage(number) for number in range(25)]
IDS = [record.id for record in RECORDS]


@pytest.fixture
def service():
    with Service(PUBLIC) as service:
        yield service


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / "spool.db", SOURCE, batch_records_max=10) as spool:
        spool.append(RECORDS)
        yield spool


@pytest.fixture
def client(service):
    with UsageClient(service.base_url, SOURCE, KEY, verify_receipt, timeout_s=1) as client:
        yield client


def send_all(spool, client, failures_max=5):
    """Sends without waiting between tries, as only a test may."""
    return Sender(spool, client, backoff_first_s=0).send_all(threading.Event(), failures_max=failures_max)


def assert_all_arrived_once(service, spool):
    assert sorted(service.events) == sorted(IDS)
    assert [len(bodies) for bodies in service.bodies.values()] == [1] * len(service.bodies)
    assert (spool.status().unsent, spool.status().sent) == (0, len(IDS))
    assert [(first, last) for first, last, _ in spool.receipts()] == [(1, 10), (11, 20), (21, 25)]


def test_a_spool_is_emptied_over_one_connection(service, spool, client):
    """Batches go out in order over a kept connection; each leaves a receipt that still verifies."""
    assert send_all(spool, client) is None
    assert_all_arrived_once(service, spool)
    assert service.connections == 1
    assert service.tries == ["/v1/usage"] * 3
    assert [verify_receipt(token)["up_to_sequence"] for _, _, token in spool.receipts()] == [10, 20, 25]
    assert spool.status().contact == "OK"
    assert abs(spool.status().clock_skew_s) <= 1


def other_key_receipt(answer):
    return {**answer, "receipt": receipt(SOURCE, 10, 10, key=PRIVATE)}


PASSING = {
    "500": faulty.status(500),
    "502 in HTML": lambda handler, reply: handler.send_error(502),
    "503 with patience": faulty.status(503, retry_after=0),
    "429": faulty.status(429),
    "408": faulty.status(408),
    "425": faulty.status(425),
    "409, still at work on the first try": faulty.status(409),
    "no answer, nothing done": faulty.lost_before_work,
    "no answer, all done": faulty.lost_answer,
    "half an answer": faulty.cut_answer,
    "half an object": faulty.instead(lambda answer: {"results": answer["results"]}),
    "not an object": faulty.instead(lambda answer: []),
    "deep nesting": faulty.instead(lambda answer: functools.reduce(lambda x, _: [x], range(900), [])),
    "too few results": faulty.instead(lambda answer: {**answer, "results": answer["results"][1:]}),
    "results in another order": faulty.instead(lambda answer: {**answer, "results": answer["results"][::-1]}),
    "receipt for another source": faulty.instead(lambda a: {**a, "receipt": receipt(SOURCE + "x", 10, 10)}),
    "receipt that stops short": faulty.instead(lambda a: {**a, "receipt": receipt(SOURCE, 9, 10)}),
    "receipt without reach": faulty.instead(lambda a: {**a, "receipt": receipt(SOURCE, None, 10)}),
    "receipt of another type": faulty.instead(lambda a: {**a, "receipt": receipt(SOURCE, 10, 10, typ="voucher+jwt")}),
    "receipt by another key": faulty.instead(other_key_receipt),
    "no receipt": faulty.instead(lambda answer: {**answer, "receipt": ""}),
}


@pytest.mark.parametrize("fault", PASSING)
def test_passing_trouble_is_retried_until_the_answer_proves_delivery(service, spool, client, fault):
    """After any failure or unproven answer the same bytes go out under the same key, signed anew, and arrive once."""
    service.faults.extend([PASSING[fault]] * 2)
    assert send_all(spool, client) is None
    assert_all_arrived_once(service, spool)
    assert len(service.tries) == 5


def test_a_silent_service_is_given_up_and_tried_again(service, spool, client):
    """A connection that says nothing times out; what the service did meanwhile is not done twice."""
    service.faults.append(faulty.silence(1.2))
    assert send_all(spool, client) is None
    assert_all_arrived_once(service, spool)


def test_an_unreachable_service_costs_nothing_but_time(spool):
    """With nobody listening, the sender gives up after its failures and everything stays spooled."""
    with UsageClient("http://127.0.0.1:9", SOURCE, KEY, verify_receipt) as client:
        reply = send_all(spool, client, failures_max=3)
    assert reply.verdict is Verdict.RETRY
    assert "Refused" in spool.status().contact
    assert spool.status().unsent == len(IDS)


@pytest.mark.parametrize("code", [301, 401, 403, 404])
def test_refusing_the_agent_is_not_refusing_its_batch(service, spool, client, code):
    """Keys, clock or address can be mended: the batch stays first in line and goes out when they are."""
    service.faults.append(faulty.status(code))
    reply = send_all(spool, client)
    assert (reply.verdict, reply.status) == (Verdict.BLOCKED, code)
    assert spool.status().parked_batches == 0
    assert f"HTTP {code}" in spool.status().contact
    assert send_all(spool, client) is None
    assert_all_arrived_once(service, spool)


def test_an_unregistered_key_is_blocked_with_the_services_words(service, spool, client):
    """A key that the service does not know is told so, and told which."""
    service.keys.clear()
    reply = send_all(spool, client)
    assert reply.verdict is Verdict.BLOCKED
    assert "signature-key-unknown" in reply.problem


@pytest.mark.parametrize("code", [400, 415, 422])
def test_a_refused_batch_is_parked_with_the_problem_and_the_next_goes_on(service, spool, client, code):
    """A batch refused for good is kept with the service's words; it is sent again only when somebody releases it."""
    service.faults.append(faulty.status(code))
    assert send_all(spool, client) is None
    assert spool.status().sent == 15
    [parked] = spool.parked()
    assert (parked.first, parked.last) == (1, 10)
    assert f'"status": {code}' in parked.problem
    assert spool.release() == 1
    assert send_all(spool, client) is None
    assert_all_arrived_once(service, spool)


@pytest.mark.parametrize("refuse", [faulty.status(413), faulty.early_413])
def test_a_batch_that_is_too_large_goes_out_in_halves(service, spool, client, refuse):
    """A 413, also one that comes before the body was read, halves the batch until it passes."""
    service.faults.extend([refuse, refuse])
    assert send_all(spool, client) is None
    assert sorted(service.events) == sorted(IDS)
    assert [last - first + 1 for first, last, _ in spool.receipts()] == [2, 3, 5, 10, 5]


def test_one_record_that_is_too_large_is_parked(service, tmp_path, client):
    """What cannot be halved is set aside with the answer; nothing is dropped."""
    with Spool(tmp_path / "one.db", SOURCE) as spool:
        spool.append([usage(1)])
        service.faults.append(faulty.status(413))
        assert send_all(spool, client) is None
        assert spool.status().parked_batches == 1


def test_statuses_are_kept_per_record(service, spool, client):
    """What the service held, rejected or found in conflict can be looked up; duplicates are a success."""
    service.statuses = {IDS[3]: "held", IDS[12]: "conflict", IDS[13]: "rejected", IDS[14]: "duplicate"}
    assert send_all(spool, client) is None
    assert [(outcome.id, outcome.status) for outcome in spool.outcomes()] == [
        (IDS[3], "held"),
        (IDS[12], "conflict"),
        (IDS[13], "rejected"),
    ]


def test_a_stop_ends_the_waiting(service, spool, client):
    """An agent that is told to stop while it waits for a better time stops at once and loses nothing."""
    service.faults.append(faulty.status(503, retry_after=3_000))
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    begun = time.monotonic()
    reply = Sender(spool, client).send_all(stop, failures_max=9)
    assert time.monotonic() - begun < 300, "it was to wait for 3,000 s"
    assert reply.retry_after_s == 3_000
    assert send_all(spool, client) is None
    assert_all_arrived_once(service, spool)


@pytest.fixture
def sender(spool, client):
    return Sender(spool, client)


def delays(service, sender, fault, tries):
    """What a sender would wait after each of so many failures."""
    service.faults.extend([fault] * tries)
    return [sender.step()[1] for _ in range(tries)]


def test_backoff_grows_with_jitter_to_a_limit(service, sender):
    """The wait is random below a ceiling that doubles from one second to a minute."""
    waits = delays(service, sender, faulty.status(500), 40)
    assert all(wait <= min(60, 2**number) for number, wait in enumerate(waits))
    assert len(set(waits[10:])) > 5
    assert max(waits) > 20


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [("7", 7, 7), ("99999999999", 3600, 3600), ("soon", 0, 1), ("-5", 0, 1), ("Sun, 06 Nov 1994 08:49:37 GMT", 0, 1)],
)
def test_a_service_may_ask_for_patience(service, sender, value, low, high):
    """Retry-After in seconds or as a date is honoured up to an hour; nonsense and the past are not."""
    [wait] = delays(service, sender, faulty.status(503, retry_after=value), 1)
    assert low <= wait <= high


def test_the_clock_of_the_agent_is_compared(service, spool, client):
    """The status tells how far the agent's clock is ahead of the service's, by the Date of its answer."""
    service.faults.append(faulty.status(500))
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 400))
    service._server.RequestHandlerClass.date_time_string = lambda *_: date
    Sender(spool, client).step()
    assert 399 <= spool.status().clock_skew_s <= 402


@pytest.mark.parametrize(
    ("base_url", "uri"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/usage"),
        ("https://Quan.Example:443/", "https://quan.example/v1/usage"),
        ("http://quan.example:80/a/b/", "http://quan.example/a/b/v1/usage"),
        ("https://[::1]:8443", "https://[::1]:8443/v1/usage"),
    ],
)
def test_an_address_has_one_spelling(base_url, uri):
    """What is signed does not depend on how the operator wrote the service's address."""
    assert usage_uri(base_url) == uri


def test_an_address_may_have_a_path(service, spool):
    """A service that lives under a path gets its reports there, and the signature says so."""
    with UsageClient(service.base_url + "/quan", SOURCE, KEY, verify_receipt) as client:
        reply = send_all(spool, client)
    assert service.tries == ["/quan/v1/usage"]
    assert "signature-wrong" in reply.problem


def test_https_is_checked_against_the_systems_authorities(service, spool):
    """A server that does not speak TLS, or whose certificate nobody vouches for, gets nothing."""
    with UsageClient(service.base_url.replace("http:", "https:"), SOURCE, KEY, verify_receipt, timeout_s=2) as client:
        reply = send_all(spool, client, failures_max=1)
    assert reply.verdict is Verdict.RETRY
    assert "SSL" in reply.detail
    assert service.tries == []


@pytest.fixture
def config(tmp_path, service):
    jwk = create_key(tmp_path / "agent.pem")
    service.keys[jwk["kid"]] = PublicKey.from_jwk(jwk)
    return AgentConfig(
        service.base_url, "sj01", SOURCE, tmp_path / "agent.pem", tmp_path / "agent.db", 1, 2**20, collect={}
    )


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_daemon_collects_again_and_sends_only_what_is_new(service, config):
    """Sources may be read from the start each time; trouble of source and service is passed, and a stop is quick."""
    rounds = []

    def collect():
        rounds.append(len(rounds))
        yield from RECORDS[:20] if len(rounds) == 1 else RECORDS
        if len(rounds) == 1:
            raise OSError("the source is away")

    service.faults.append(faulty.status(500))
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(config, collect, verify_receipt, stop))
    thread.start()
    wait_for(lambda: len(service.events) == len(IDS))
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    with SpoolView(config.spool) as view:
        status = view.status()
    assert (status.sent + status.unsent, len(rounds) >= 2) == (len(IDS), True)
    assert load_key(config.key_file).kid in service.keys


def test_the_daemon_collects_while_the_service_is_away(service, config):
    """What the source offers is spooled at every interval, also when the service asks to be left alone."""
    service.faults.append(faulty.status(503, retry_after=3_600))
    offered = []

    def collect():
        offered.append(RECORDS[len(offered)])
        return offered

    stop = threading.Event()
    thread = threading.Thread(target=run, args=(config, collect, verify_receipt, stop))
    thread.start()
    wait_for(lambda: len(offered) >= 3)
    stop.set()
    thread.join(5)
    with SpoolView(config.spool) as view:
        assert view.status().unsent >= 2
        assert view.status().oldest_unsent_us is not None
    assert len(service.tries) == 1
