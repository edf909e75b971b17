"""Corrections by an agent, decisions by officers and statements, as they are asked for over HTTP."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from metering.agent.events import encode_event, number_event
from suanquan.db import notices
from suanquan.notices.model import of_centre
from tests.suanquan.harness import (
    A100_HOUR,
    HOUR_MS,
    NOON_US,
    Agent,
    assert_problem,
    request,
    usage,
)

DAY_US = 86_400_000_000


def post(service, content, path="/v1/usage/corrections", **changes):
    body = json.dumps(content).encode()
    arguments = {"target_uri": f"{service.url}{path}", "content_type": "application/json"} | changes
    return request(service.url, "POST", path, body, Agent(service.url).sign(body, **arguments))


def test_an_agent_corrects_over_http(service, agent):
    """Void, revise, repeat, contradict: each result by id; old usage takes two persons, another centre's is not ours."""
    now_us = time.time_ns() // 1000
    recent = usage(1, start_us=now_us - 2 * HOUR_MS * 1000, end_us=now_us - HOUR_MS * 1000)
    assert agent.report_records([recent, usage(2)]).statuses == ["accepted", "accepted"]
    event = json.loads(number_event(encode_event(replace(recent, active_ms=HOUR_MS // 2), agent.source), 1))
    one = {"id": recent.id, "revision": 1, "record": None}
    answer = post(service, {"source": agent.source, "corrections": [one, one | {"revision": 2, "record": event}]})
    assert [result["status"] for result in answer.content["results"]] == ["accepted", "accepted"], answer
    assert service.figures().rated == A100_HOUR * 3 // 2
    again = [one, one | {"record": event}, {"id": usage(2).id, "revision": 1, "record": None, "reason": "wrong"}]
    answer = post(service, {"source": agent.source, "corrections": [*again, one | {"id": "no such"}]})
    assert [(result["status"], result.get("code")) for result in answer.content["results"]] == [
        ("duplicate", None), ("conflict", "revision-reused"), ("rejected", "approval-missing"), ("rejected", "record-unknown")
    ]  # fmt: skip
    assert service.figures().rated == A100_HOUR * 3 // 2
    foreign = {"source": "urn:centre:sj02:agent:test", "corrections": [one]}
    assert_problem(post(service, foreign), 403, "foreign-source")
    assert_problem(post(service, {"source": agent.source, "corrections": []}), 422, "correction-malformed")
    once = {"nonce": "n" * 32}
    assert post(service, {"source": agent.source, "corrections": [one]}, **once).status == 200
    assert_problem(post(service, {"source": agent.source, "corrections": [one]}, **once), 401, "nonce-replayed")


def test_officers_decide_over_http(service, agent, installation):
    """List, release, drop: with a token, a reason, once."""
    assert (
        agent.report_records([usage(1, cards_milli=2_000_000), usage(2, cards_milli=3_000_000)]).statuses
        == ["held"] * 2
    )
    held = {"authorization": f"Bearer {installation.token}", "content-type": "application/json"}
    waiting = request(service.url, "GET", "/v1/quarantine", None, held).content
    assert {row["code"] for row in waiting} == {"over-capacity"}
    why = json.dumps({"reason": "已核对"}).encode()
    released, dropped = (f"/v1/quarantine/{row['place']}" for row in sorted(waiting, key=lambda row: row["id"]))
    assert_problem(
        request(service.url, "POST", f"{released}/release", why, {"content-type": "application/json"}),
        401,
        "token-required",
    )
    for _ in range(2):
        assert request(service.url, "POST", f"{released}/release", why, held).content["verdict"] == "release"
    assert request(service.url, "POST", f"{dropped}/drop", why, held).content["verdict"] == "drop"
    assert_problem(request(service.url, "POST", f"{dropped}/release", why, held), 409, "quarantine-decided")
    assert_problem(request(service.url, "POST", "/v1/quarantine/9-9/drop", why, held), 404, "quarantine-unknown")
    assert service.figures().rated == 2000 * A100_HOUR
    assert request(service.url, "GET", "/v1/quarantine", None, held).content == []
    told = service.call(inbox(service.service, of_centre("sj01")))
    verdicts = [one.data["verdict"] for one in told if one.kind == "quarantine.decided"]
    assert verdicts == ["drop", "release"], "newest first, each once"


async def inbox(service, audience):
    async with service.database.read() as conn:
        return await notices.list_notices(conn, audience, (), 2**62, 100)


def test_a_statement_shows_what_is_missing_and_what_counts(service, agent, installation):
    """Declared and short, not declared, voided: each is on the page of the account."""
    assert (
        agent.report_records([usage(1), usage(2, start_us=NOON_US + 40 * DAY_US, end_us=NOON_US + 41 * DAY_US)]).status
        == 200
    )
    held = {"authorization": f"Bearer {installation.token}"}
    declared = {"month": "2025-03", "accounts": [{"account": "alone", "jobs": 2, "segments": 2, "gpu_ms": 2 * HOUR_MS}]}
    assert post(service, declared, "/v1/usage/completeness").status == 200
    page = request(service.url, "GET", "/v1/statements/sj01/alone", None, held).content
    states = {one["month"]: (one["state"], "detail" in one) for one in page["completeness"]}
    assert states == {"2025-03": ("missing", True), "2025-04": ("undeclared", True)}
    assert page["completeness"][0]["missing"] == {"segments": 1, "gpu_ms": str(HOUR_MS)}
    assert page["settled"] == []
