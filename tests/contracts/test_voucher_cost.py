"""What vouchers paid of an applicant's R&D cost comes from the ledger, on both kinds of database, through the real service."""

import json

import pytest

from suanquan.settings import Settings
from tests.suanquan.harness import Agent, ThreadedService, assert_problem, give, install, request

HOLDER, OTHER = "91350100M000100Y43", "91310000MA1FL8TQ32"
COST = {"rd_cost_non_hardware_yuan": 1_000_000, "rd_cost_hardware_yuan": 0}
FACT = "rd_cost_paid_with_compute_vouchers_yuan"


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request, tmp_path):
    """A home on each kind of database."""
    if request.param == "sqlite":
        yield install(tmp_path / "home")
        return
    databases = request.getfixturevalue("databases")
    place = databases.create("voucher_cost")
    yield install(tmp_path / "home", Settings(sandbox=True, database_url=place.url))
    databases.drop(place)


def evaluated(service, token, **body):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    body = {"on": "2025-09-01", "clauses": ["323:(四)1"]} | body
    return request(service.url, "POST", "/v1/subsidies/evaluations", json.dumps(body).encode(), headers)


def used(answer):
    """The voucher-paid cost that an answer deducted."""
    quantities = {entry["name"]: entry["value"] for entry in answer.content["answers"][0]["explanation"]["quantities"]}
    return COST["rd_cost_non_hardware_yuan"] - quantities["recognised_rd_cost_yuan"]


def test_what_vouchers_paid_is_deducted_to_the_next_yuan(installation):
    """3601 seconds at 12 yuan an hour are 12.003333 yuan: 13 are deducted, unless the part of this project is stated."""
    with ThreadedService(installation.home) as service:
        service.call(give(service.service, HOLDER, "500", accounts=["lab"]))
        agent = Agent(service.url)
        event = agent.event(1, subject="lab", end="2025-03-01T13:00:01Z", active_s=3601)
        assert agent.report(event).statuses == ["accepted"]
        known = evaluated(service, installation.token, holder=HOLDER, facts=COST)
        assert (known.status, known.content["voucher_paid_yuan"], used(known)) == (200, 13, 13)
        assert FACT not in known.content["answers"][0]["missing_facts"]
        stated = evaluated(service, installation.token, holder=HOLDER, facts=COST | {FACT: 5})
        assert (stated.content["voucher_paid_yuan"], used(stated)) == (13, 5)
        nothing = evaluated(service, installation.token, holder=OTHER, facts=COST)
        assert (nothing.content["voucher_paid_yuan"], used(nothing)) == (0, 0)
        assert_problem(evaluated(service, None, holder=HOLDER, facts=COST), 401, "token-required")
        assert_problem(evaluated(service, installation.token, holder="lab", facts=COST), 422, "request-invalid")


def test_what_compute_vouchers_paid_has_no_price_and_is_asked(installation):
    """A voucher of PFLOPS hours paid something that is no sum of yuan: the fact stays unknown."""
    with ThreadedService(installation.home) as service:
        service.call(give(service.service, HOLDER, "500", accounts=["lab"], unit="PFLOPS.h"))
        agent = Agent(service.url)
        assert agent.report(agent.event(1, subject="lab")).statuses == ["accepted"]
        answer = evaluated(service, installation.token, holder=HOLDER, facts=COST)
    assert answer.content["voucher_paid_yuan"] is None
    assert FACT in answer.content["answers"][0]["missing_facts"]
