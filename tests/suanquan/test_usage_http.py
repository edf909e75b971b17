"""`POST /v1/usage` as the world uses it: honest agents are answered, everything else is refused in documented words.

Whatever is sent, no answer is a 5xx, and afterwards the books hold exactly what was accepted.
"""

import contextlib
import json
import re
import time
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.jws import verify as verify_jws
from metering import segment
from metering import store as metering_store
from tests.conftest import ALL
from tests.suanquan.harness import (
    A100_HOUR,
    BATCH,
    HOUR_MS,
    KEYS,
    Agent,
    ThreadedService,
    assert_problem,
    request,
)


@pytest.fixture(scope="module")
def service(template, tmp_path_factory):
    """One service for all cases: each leaves the books as it found them, or adds what it says."""
    installation = template.copy_to(tmp_path_factory.mktemp("usage") / "home")
    with ThreadedService(installation.home) as running:
        yield running


@pytest.fixture
def agent(service, request):
    """A source of its own for each test, so that ids do not meet."""
    return Agent(service.url, name=re.sub(r"\W", "-", request.node.name)[:80])


@contextlib.contextmanager
def unchanged(service):
    """Nothing of what is sent inside leaves a trace."""
    before = service.figures()
    yield
    assert service.figures() == before


@contextlib.contextmanager
def adding(service, **statuses):
    """What is sent inside adds these statuses, and an hour of an A100 for each record accepted."""
    before = service.figures()
    yield
    after = service.figures()
    counts = {
        name: after.statuses["sj01"].get(name, 0) - before.statuses.get("sj01", {}).get(name, 0) for name in STATUSES
    }
    assert counts == dict.fromkeys(STATUSES, 0) | statuses
    accepted = statuses.get("accepted", 0)
    assert after.records - before.records == accepted + statuses.get("held", 0)
    assert after.gpu_ms - before.gpu_ms == accepted * HOUR_MS
    assert after.rated - before.rated == accepted * A100_HOUR
    assert len(after.quarantine) - len(before.quarantine) == sum(map(statuses.get, QUARANTINED, (0, 0, 0)))
    after.assert_conserved()


STATUSES = ("accepted", "duplicate", "conflict", "rejected", "held")
QUARANTINED = ("conflict", "rejected", "held")


def test_a_batch_is_answered_record_by_record_with_a_receipt(service, agent):
    """A signed batch is recorded, and its receipt says how far, how many, and where in the log."""
    with adding(service, accepted=3):
        answer = agent.report(*(agent.event(number) for number in (1, 2, 3)))
    assert answer.status == 200
    assert answer.statuses == ["accepted"] * 3
    claims = verify_jws(answer.content["receipt"], service.service.keys.verifying_keys(), "usage-receipt+jwt")
    assert (claims["source"], claims["up_to_sequence"], claims["records"]) == (agent.source, 3, 3)
    assert claims["log"]["first"] < claims["log"]["size"] == service.figures().entries


SIGNATURES = {
    "another's key": ({"key": KEYS["sj02"]}, "signature-wrong"),
    "an unregistered key": ({"key": KEYS["stranger"], "keyid": "stranger"}, "signature-key-unknown"),
    "another method": ({"method": "PUT"}, "signature-wrong"),
    "another address": ({"target_uri": "http://127.0.0.1/v1/usage"}, "signature-wrong"),
    "expired": ({"created_s": -400}, "signature-expired"),
    "created in the future": ({"created_s": 1000}, "signature-created-in-future"),
    "of too long a life": ({"lifetime_s": 301}, "signature-lifetime"),
    "of another body": ({"body_sha256": sha256(b"[]").digest()}, "content-digest-mismatch"),
}
"""What is changed, with `created_s` counted from the moment of asking, and the code."""


@pytest.mark.parametrize("case", SIGNATURES)
def test_a_signature_that_does_not_hold_is_refused(service, agent, case):
    """Key, method, address, time and body are all covered; a report that fails in one is told in which."""
    changes, code = SIGNATURES[case]
    changes = {name: int(time.time()) + said if name == "created_s" else said for name, said in changes.items()}
    with unchanged(service):
        answer = agent.report(agent.event(1), **changes)
    assert_problem(answer, 401, code)
    assert answer.headers["www-authenticate"] == "Signature"


def test_an_altered_body_or_header_is_refused(service, agent):
    """Changing the body, or the body and its digest, or the key of the request, breaks the signature."""
    body = json.dumps([agent.event(1)]).encode()
    headers = agent.sign(body)
    more = body.replace(b"1000", b"9000")
    with unchanged(service):
        assert_problem(agent.send(more, headers), 401, "content-digest-mismatch")
        forged = headers | {"content-digest": agent.sign(more)["content-digest"]}
        assert_problem(agent.send(more, forged), 401, "signature-wrong")
        assert_problem(agent.send(body, headers | {"idempotency-key": "other"}), 401, "signature-wrong")


@pytest.mark.parametrize("missing", ["idempotency-key", "signature", "signature-input", "content-digest"])
def test_a_report_lacks_no_header(service, agent, missing):
    """Unsigned reports, and signed ones without a key that makes them repeatable, are refused by name of what lacks."""
    body = json.dumps([agent.event(1)]).encode()
    headers = agent.sign(body)
    with unchanged(service):
        answer = agent.send(body, {name: value for name, value in headers.items() if name != missing})
    assert_problem(answer, 401, "signature-header-missing")
    assert missing in answer.content["detail"]


def test_a_request_is_taken_once(service, agent):
    """The very same request again is refused, now and after any number of tries."""
    body = json.dumps([agent.event(1)]).encode()
    headers = agent.sign(body)
    with adding(service, accepted=1):
        assert agent.send(body, headers).status == 200
    with unchanged(service):
        for _ in range(3):
            assert_problem(agent.send(body, headers), 401, "nonce-replayed")


def test_the_same_batch_signed_anew_gets_the_same_answer(service, agent):
    """A lost answer can be asked for again under the same key, word for word; another body under the key is refused."""
    body = json.dumps([agent.event(1), agent.event(2, model="unheard-of"), agent.event(3, start="now")]).encode()
    events = [
        agent.event(1),
        agent.event(2, accelerators=[{"model": "unheard-of", "count_milli": 1}]),
        agent.event(3, start="now"),
    ]
    body = json.dumps(events).encode()
    with adding(service, accepted=1, held=1, rejected=1):
        first = agent.send(body, agent.sign(body, idempotency_key="once"))
    with unchanged(service):
        again = agent.send(body, agent.sign(body, idempotency_key="once"))
        other = agent.report(agent.event(4), idempotency_key="once")
    assert (again.status, again.content) == (200, first.content)
    assert_problem(other, 422, "idempotency-key-reused")


def test_keys_and_ids_of_one_source_are_nothing_to_another(service, agent):
    """Two agents, of one centre or of two, may use the same idempotency key and the same ids."""
    others = [Agent(service.url, name=agent.name + "-2"), Agent(service.url, "sj02", agent.name)]
    for one in (agent, *others):
        for event in (one.event(1, id="same"), one.event(2, id="same-bad", Bad=1)):
            answer = one.report(event, idempotency_key=f"key-{event['id']}")
            assert answer.status == 200
            assert answer.statuses == ["accepted" if event["id"] == "same" else "rejected"]
    assert service.figures().statuses["sj02"] == {"accepted": 1, "rejected": 1}


@pytest.mark.parametrize(
    "source",
    [
        "urn:centre:sj02:agent:test",
        "urn:centre:sj01",
        "urn:centre:sj01:agent:",
        "urn:centre:sj01:agent:a:b",
        "urn:centre:sj01:agent:a\u0000b",
        "https://sj01.example",
    ],
)
@pytest.mark.parametrize("other", [{}, {"Bad": 1}], ids=["good", "faulty"])
def test_whose_usage_it_is_comes_from_the_key(service, agent, source, other):
    """A centre cannot report in another's name, nor under a source that is none."""
    with unchanged(service):
        assert_problem(agent.report(agent.event(1, source=source, **other)), 403, "foreign-source")


UNREADABLE = {
    "nothing": b"",
    "no JSON": b"{",
    "a word": b"null",
    "a number": b"3",
    "cut short": b"[%b",
    "rubbish behind": b"[%b]]",
    "one event that is no batch": b"%b",
    "nested without end": b"[" * 100_000 + b"]" * 100_000,
    "an event nested without end": b'[%b,{"x":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001 + b"]",
    "NaN": b'[%b,{"x":NaN}]',
    "Infinity": b'[%b,{"x":-Infinity}]',
    "beyond all numbers": b'[%b,{"x":1e400}]',
    "five thousand digits": b'[%b,{"x":1' + b"0" * 5000 + b"}]",
    "half a surrogate": b'[%b,{"x":"\\ud800"}]',
    "a bare NUL": b'[%b,{"x":"\x00"}]',
    "no UTF-8": b'[%b,{"x":"\xff"}]',
    "no UTF-8 behind a faulty record": b'[{"id":1},%b,{"id":"\xff"}]',
    "a byte order mark": b"\xef\xbb\xbf[%b]",
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_body_that_is_no_json_array_is_refused(service, agent, case):
    """What cannot be read as a whole is refused as a whole, however deep or strange."""
    event = json.dumps(agent.event(1)).encode()
    body = UNREADABLE[case].replace(b"%b", event)
    with unchanged(service):
        assert_problem(agent.send(body, agent.sign(body)), 400, "body-unreadable")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_only_utf_8_is_read(service, agent, encoding):
    """JSON between systems is UTF-8 (RFC 8259 §8.1)."""
    body = json.dumps([agent.event(1)]).encode(encoding)
    with unchanged(service):
        assert_problem(agent.send(body, agent.sign(body)), 400, "body-unreadable")


@pytest.mark.parametrize("body", [b"[]", b"[1, null, []]", b'[{"id": "x"}]'])
def test_a_batch_without_a_source_is_nobodys(service, agent, body):
    """Where no record says whence it comes there is nobody to answer to."""
    with unchanged(service):
        assert_problem(agent.send(body, agent.sign(body)), 422, "source-missing")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/cloudevents+json", ""])
def test_only_a_batch_of_cloudevents_is_taken(service, agent, content_type):
    """The content type says what the bytes mean, so another one is refused before they are read."""
    body = json.dumps([agent.event(1)]).encode()
    with unchanged(service):
        assert_problem(
            agent.send(body, agent.sign(body) | {"content-type": content_type}), 415, "content-type-unsupported"
        )


def test_a_content_type_may_name_its_charset(service, agent):
    """Parameters of the content type are covered by the signature like the rest of it."""
    with adding(service, accepted=1):
        assert agent.report(agent.event(1), content_type=f"{BATCH}; charset=UTF-8").status == 200


FAULTY = {
    "no cards": ({"accelerators": [{"model": "A100", "count_milli": 0}]}, "count-invalid"),
    "fewer than none": ({"accelerators": [{"model": "A100", "count_milli": -1000}]}, "count-invalid"),
    "more than there are": ({"accelerators": [{"model": "A100", "count_milli": 2**63}]}, "count-invalid"),
    "a part of a thousandth": ({"accelerators": [{"model": "A100", "count_milli": 1.5}]}, "count-invalid"),
    "cards in words": ({"accelerators": [{"model": "A100", "count_milli": "1000"}]}, "count-invalid"),
    "true cards": ({"accelerators": [{"model": "A100", "count_milli": True}]}, "count-invalid"),
    "no accelerator": ({"accelerators": []}, "member-invalid"),
    "end before start": ({"end": "2025-03-01T11:59:59Z", "active_s": 0}, "end-before-start"),
    "a naive time": ({"start": "2025-03-01T12:00:00"}, "time-invalid"),
    "a day that is none": ({"end": "2025-02-29T12:00:00Z"}, "time-invalid"),
    "epoch seconds": ({"start": "1740830400"}, "time-invalid"),
    "before all metering": ({"start": "1999-12-31T23:59:59Z"}, "time-invalid"),
    "not ended yet": ({"end": "2099-01-01T00:00:00Z"}, "in-the-future"),
    "more time than there was": ({"active_s": 3601}, "active-exceeds-interval"),
    "less than no time": ({"active_s": -1}, "active-invalid"),
    "no active time": ({"active_s": None}, "active-invalid"),
    "another version": ({"specversion": "2.0"}, "type-unsupported"),
    "another type": ({"type": "cn.suanquan.usage.interval.v2"}, "type-unsupported"),
    "an extension in capitals": ({"Traceparent": "x"}, "extension-invalid"),
    "an extension that is an object": ({"trace": {"x": 1}}, "extension-invalid"),
    "an extension as long as a book": ({"trace": "x" * 256}, "extension-invalid"),
    "too many extensions": ({f"trace{number}": 1 for number in range(17)}, "extension-invalid"),
    "no id": ({"id": ""}, "member-invalid"),
    "an id without end": ({"id": "x" * 5000}, "member-invalid"),
    "an id that is a number": ({"id": 7}, "member-invalid"),
    "a NUL in a name": ({"subject": "a\u0000b"}, "text-invalid"),
    "a line feed in a model": ({"accelerators": [{"model": "A100\n", "count_milli": 1000}]}, "text-invalid"),
    "a sequence in words": ({"sequence": "first"}, "sequence-invalid"),
    "a sequence in another script": ({"sequence": "١٢"}, "sequence-invalid"),
    "an attempt beyond counting": ({"attempt": 2**53 + 1}, "member-invalid"),
}


def test_one_faulty_record_does_not_stop_the_good_ones(service, agent):
    """Every kind of faulty record is refused with its reason, kept for a person, and the rest of its batch goes through."""
    events = [agent.event(0)]
    for number, (changes, _) in enumerate(FAULTY.values(), 1):
        events += [agent.event(2 * number - 1, **changes), agent.event(2 * number)]
    data = agent.event(999)
    data["data"]["unheard"] = 1
    half = agent.event(1000)
    del half["data"]["state"]
    events += [data, half, 17]
    expected = [("accepted", "")]
    for _, code in FAULTY.values():
        expected += [("rejected", code), ("accepted", "")]
    expected += [("rejected", "member-unknown"), ("rejected", "member-missing"), ("rejected", "not-an-event")]
    with adding(service, accepted=len(FAULTY) + 1, rejected=len(FAULTY) + 3):
        answer = agent.report(*events)
    assert answer.status == 200
    results = answer.content["results"]
    assert [(result["status"], result.get("code", "")) for result in results] == expected
    assert [result["id"] for result in results if isinstance(result["id"], str)] == [
        event["id"] if isinstance(event, dict) and isinstance(event["id"], str) else "" for event in events
    ]
    kept = {
        row["position"]: row["record"]
        for row in service.figures().quarantine
        if row["batch"] == int(answer.content["batch"])
    }
    assert {place: json.loads(record) for place, record in kept.items()} == {
        place: event for place, event in enumerate(events) if expected[place][0] == "rejected"
    }


@pytest.mark.parametrize("case", FAULTY)
def test_a_batch_of_nothing_but_faults_is_answered_all_the_same(service, agent, case):
    """The receipt reaches the last record also where it was refused: an agent must not send it for ever."""
    with adding(service, rejected=1):
        answer = agent.report(agent.event(1, **{"sequence": f"{7:018d}"} | FAULTY[case][0]))
    assert answer.status == 200
    claims = verify_jws(answer.content["receipt"], service.service.keys.verifying_keys(), "usage-receipt+jwt")
    assert claims["source"] == agent.source
    assert claims["up_to_sequence"] == (0 if "sequence" in FAULTY[case][0] else 7)


def test_two_sources_do_not_share_a_batch(service, agent):
    """The records of the first source are taken; the others are refused one by one."""
    with adding(service, accepted=1, rejected=1):
        answer = agent.report(agent.event(1), agent.event(2, source=f"{agent.source}-2"))
    assert [result.get("code") for result in answer.content["results"]] == [None, "source-mixed"]


def test_an_unknown_model_is_held_and_costs_nothing(service, agent):
    """Usage of a card that the register does not know waits for a person: it is neither free nor charged."""
    cards = [{"model": "A100", "count_milli": 1000}, {"model": "unheard-of", "count_milli": 1000}]
    with adding(service, accepted=1, held=1):
        answer = agent.report(agent.event(1, accelerators=cards), agent.event(2))
    assert answer.content["results"][0] == {"id": "sj01:000001", "status": "held", "code": "model-unknown"}
    with adding(service, duplicate=1):
        assert agent.report(agent.event(1, accelerators=cards)).statuses == ["duplicate"]


def test_the_first_word_about_an_id_stands(service, agent):
    """The same id with other content, in a later batch or in the same, is a conflict that a person sees; no money moves."""
    other = agent.event(1, state="FAILED")
    with adding(service, accepted=1, conflict=1, duplicate=1):
        answer = agent.report(agent.event(1), other, agent.event(1))
    assert answer.statuses == ["accepted", "conflict", "duplicate"]
    for new in (10, 11):
        with adding(service, conflict=1, accepted=1):
            assert agent.report(other, agent.event(new)).statuses == ["conflict", "accepted"]
    with adding(service, duplicate=1):
        assert agent.report(agent.event(1, sequence="9", time="2025-03-02T00:00:00Z")).statuses == ["duplicate"]


def test_of_repeated_member_names_the_last_counts(service, agent):
    """A name given twice is read as most JSON readers do, and the record is hashed as it was understood."""
    text = json.dumps([agent.event(1)]).replace('"count_milli": 1000', '"count_milli": 7, "count_milli": 1000')
    text = text.replace('"subject":', '"subject": "first", "subject":')
    with adding(service, accepted=1):
        assert agent.send(text.encode(), agent.sign(text.encode())).statuses == ["accepted"]
    with adding(service, duplicate=1):
        assert agent.report(agent.event(1)).statuses == ["duplicate"]


def test_extension_attributes_are_kept(service, agent):
    """CloudEvents extensions are part of the record's canonical bytes: with other extensions it is another record."""
    extensions = {"traceparent": "00-ab", "partition": 7, "dry": True}
    with adding(service, accepted=2, conflict=1, duplicate=1):
        answer = agent.report(
            agent.event(1, **extensions),
            agent.event(1, **dict(reversed(extensions.items()))),
            agent.event(1, **extensions | {"partition": 8}),
            agent.event(2),
        )
    assert answer.statuses == ["accepted", "duplicate", "conflict", "accepted"]

    async def leaves():
        async with service.service.database.read() as connection:
            batches = await metering_store.load_batches(connection, int(answer.content["batch"]) - 1, 1)
        return list(segment.unpack(batches[0][1].segment))

    first, second = service.call(leaves())
    assert first.endswith(b'{"dry":true,"partition":7,"traceparent":"00-ab"}')
    assert second.endswith(b"A100")


def test_nonsense_beyond_all_measure_closes_nobodys_page(service, agent):
    """Millions of cards for a season, again and again, are refused at the latest where the ledger's integers end."""
    cards = [{"model": "H100-SXM", "count_milli": 100_000_000}] * 16
    ages = {
        "start": "2025-01-01T00:00:00Z",
        "end": "2025-04-01T00:00:00Z",
        "active_s": 7_776_000,
        "accelerators": cards,
    }
    other = Agent(service.url, "sj02", agent.name)
    answers = [
        other.report(*(other.event(n, subject=f"a{n}", **ages) for n in range(50 * k, 50 * k + 50))) for k in range(8)
    ]
    assert {answer.status for answer in answers} == {200, 422}
    assert_problem(answers[-1], 422, "total-range")
    assert_problem(other.report(*(other.event(n, **ages) for n in range(1000, 1400))), 422, "amount-range")
    service.figures().assert_conserved()
    for path in ("/", "/metrics", "/readyz"):
        assert request(service.url, "GET", path).status == 200


def test_mutilated_bodies_never_break_the_service(service, agent):
    """Bytes cut, doubled, swapped and overwritten in a signed body give a documented refusal, or a batch that adds up."""
    honest = json.dumps([agent.event(1), agent.event(2, trace="x"), agent.event(3, start="?")]).encode()

    @settings(max_examples=2000 if ALL else 200)
    @given(cuts=st.lists(st.tuples(st.integers(0, len(honest)), st.integers(0, 12), PATCHES), min_size=1, max_size=4))
    def send(cuts):
        body = bytearray(honest)
        for at, length, patch in cuts:
            body[at : at + length] = patch
        answer = agent.send(bytes(body), agent.sign(bytes(body)))
        assert answer.status in {200, 400, 403, 413, 422}
        if answer.status == 200:
            assert sum(answer.content[name] for name in STATUSES) == len(answer.content["results"])

    send()
    service.figures().assert_conserved()


PATCHES = st.binary(max_size=6) | st.sampled_from(
    [b'"', b"[", b"{", b",", b"null", b"-1", b"1e999", b'"\\ud800"', b"\\u0000", b"\x00", b'"x":1,']
)


def test_a_batch_has_its_bounds(service, agent):
    """10,000 records and 8 MiB are taken; one more of either is not, and the answer tells an agent to send less."""
    with unchanged(service):
        assert_problem(agent.report(*[agent.event(1)] * 10_001), 413, "batch-too-large")
        large = b" " * (8 * 1024 * 1024) + b"[]"
        assert_problem(agent.send(large, agent.sign(large)), 413, "body-too-large")
    full = json.dumps([agent.event(number) for number in range(10_000)]).encode()
    full += b" " * (8 * 1024 * 1024 - len(full))
    with adding(service, accepted=10_000):
        assert agent.send(full, agent.sign(full)).content["accepted"] == 10_000
