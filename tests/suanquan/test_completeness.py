"""A month that was declared is complete when everything in it has arrived, to the GPU-millisecond; what lacks is told."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.completeness import Declaration, State, declarations
from metering.model import Accelerator
from metering.month_store import count_gaps
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases.completeness import declare
from suanquan.use_cases.uptake import completeness
from tests.conftest import ALL
from tests.suanquan.harness import (
    HOUR_MS,
    NOON_US,
    PASSPHRASE,
    Agent,
    ThreadedService,
    assert_problem,
    install,
    request,
    usage,
)

DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def service(template, tmp_path_factory):
    with ThreadedService(template.copy_to(tmp_path_factory.mktemp("months") / "home").home) as running:
        yield running


def post(service, content, **changes):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    arguments = {"target_uri": f"{service.url}/v1/usage/completeness", "content_type": "application/json"} | changes
    headers = Agent(service.url).sign(body, **arguments)
    return request(service.url, "POST", "/v1/usage/completeness", body, headers)


def declared(service, found):
    month = f"{found[0].month // 100}-{found[0].month % 100:02d}"
    accounts = [{"account": d.account, "jobs": d.jobs, "segments": d.segments, "gpu_ms": d.gpu_ms} for d in found]
    answer = post(service, {"month": month, "accounts": accounts})
    assert answer.status == 200, answer.content
    return {one["account"]: (one["state"], one["missing"]) for one in answer.content["accounts"]}


def gaps(service):
    status, page = (answer := request(service.url, "GET", "/metrics")).status, str(answer.content)
    assert status == 200, page
    return page


@st.composite
def months(draw):
    """Records around the turn of a month, of one or two cards, whole or in parts."""
    turn_us = 1_740_758_400_000_000  # 2025-03-01T00:00+08:00
    found = []
    for number in range(draw(st.integers(1, 6))):
        start = turn_us + draw(st.integers(-40 * 86_400, 20 * 86_400)) * 1_000_000
        length_s = draw(st.integers(1, 45 * 86_400))
        active_ms = draw(st.integers(1, length_s * 1000))
        cards = tuple(
            Accelerator(model, draw(st.integers(1, 8000)))
            for model in draw(st.sampled_from([("A100",), ("A100", "H100-SXM")]))
        )
        changes = {"start_us": start, "end_us": start + length_s * 1_000_000, "active_ms": active_ms}
        found.append(usage(number, account=draw(st.sampled_from("ab")), accelerators=cards, **changes))
    return found


@settings(max_examples=100 if ALL else 12)
@given(months(), st.integers())
def test_what_the_agent_counts_is_what_the_service_counts(service, records, salt):
    """Cut at the turn of months, split over cards, summed: not one GPU-millisecond apart."""
    name = hashlib.sha256(repr((records, salt)).encode()).hexdigest()[:16]
    records = [record.__class__(**fields(record, name)) for record in records]
    answer = Agent(service.url, name=name).report_records(records)
    assert set(answer.statuses) == {"accepted"}
    for month in (202501, 202502, 202503, 202504, 202505):
        found = declarations(records, month)
        if found:
            assert {state for state, _ in declared(service, found).values()} == {"complete"}


def fields(record, name):
    known = {field: getattr(record, field) for field in record.__slots__}
    return known | {"id": f"{name}:{record.id}", "account": f"{name}-{record.account}"}


def test_a_record_that_was_lost_is_missed(service):
    """Declared two, arrived one: the difference is told; the late one makes the month complete."""
    records = [usage(number, account="lost", id=f"lost:{number}") for number in (1, 2)]
    found = declarations(records, 202503)
    agent = Agent(service.url, name="lost")
    agent.report_records(records[:1])
    missing = {"segments": 1, "gpu_ms": str(records[1].gpu_ms)}
    assert declared(service, found) == {"lost": ("missing", missing)}
    assert 'usage_gaps{centre="sj01"} 1.0' in gaps(service)
    agent.report_records(records[1:])
    assert declared(service, found)["lost"][0] == "complete"
    assert 'usage_gaps{centre="sj01"} 0.0' in gaps(service)


def test_a_declaration_is_signed_and_sound(service):
    """Another key, another address, a body that is none: refused in documented words, and nothing is kept."""
    good = {"month": "2025-03", "accounts": [{"account": "x", "jobs": 1, "segments": 1, "gpu_ms": HOUR_MS}]}
    assert_problem(post(service, good, keyid="nobody"), 401, "signature-key-unknown")
    assert_problem(post(service, good, target_uri=f"{service.url}/v1/usage"), 401, "signature-wrong")
    account = good["accounts"][0]
    for bad in (
        b"[]",
        b"{",
        {**good, "month": "2025-13"},
        {**good, "accounts": []},
        {**good, "accounts": [account, account]},
        {**good, "accounts": [{**account, "gpu_ms": -1}]},
        {**good, "accounts": [{**account, "account": "a\u0000"}]},
        {**good, "more": 1},
    ):
        assert_problem(post(service, bad), 422, "declaration-malformed")


def test_a_declaration_is_taken_once_and_the_last_counts(service):
    """The same nonce again is refused; another declaration of the month replaces the first, which stays a fact."""
    once = {"nonce": "n" * 32}
    good = {"month": "2024-03", "accounts": [{"account": "x", "jobs": 1, "segments": 1, "gpu_ms": 5}]}
    assert post(service, good, **once).status == 200
    assert_problem(post(service, good, **once), 401, "nonce-replayed")
    assert declared(service, [Declaration(202403, "x", 0, 0, 0)]) == {"x": ("complete", {"segments": 0, "gpu_ms": "0"})}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_declarations_on_both_databases(kind, request, tmp_path):
    """Appended, numbered, the newest counts; the same again adds no row."""
    place = request.getfixturevalue("databases").create("declared") if kind == "postgresql" else None
    opened = Settings(sandbox=True, database_url=place.url) if place else Settings(sandbox=True)
    home = install(tmp_path / "home", opened).home

    async def run():
        async with open_service(home, PASSPHRASE) as service:

            async def say(nonce, *new):
                return await service.journal.transact(
                    lambda tx: declare(tx, "sj01", "kid", nonce, NOON_US + DAY_US, list(new))
                )

            first, second = Declaration(202503, "量子", 1, 2, 3), Declaration(202503, "量子", 1, 0, 0)
            assert [result.state for _, result in (await say("1", first)).values()] == [State.MISSING]
            await say("2", first)
            async with service.database.read() as connection:
                assert (await count_gaps(connection)) == {"sj01": 1}
                assert [one.declared - one.whole for one in (await completeness(connection)).values()] == [1]
            assert [result.state for _, result in (await say("3", second)).values()] == [State.COMPLETE]
            async with service.database.read() as connection:
                assert not any((await count_gaps(connection)).values())
                [(key, found)] = (await completeness(connection)).items()
                assert (key[0], found.declared) == ("sj01", found.whole)

    asyncio.run(run())
    if place:
        request.getfixturevalue("databases").drop(place)
