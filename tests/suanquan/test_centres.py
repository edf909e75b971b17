"""The register of centres at work: verdicts from the policy, capacity from cards, and usage of a suspended centre kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from ledger.amount import INT64_MAX
from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from metering import centre_store
from metering.agent.events import batch_body, encode_event, number_event
from metering.batch import read_cloudevents
from metering.capacity import Card
from metering.centre import Energy
from metering.quarantine import Verdict
from metering.zones import shanghai_day_us
from suanquan.use_cases import centres, setup
from suanquan.use_cases.apart import nothing_waits
from suanquan.use_cases.centre_admission import admit, centre_object
from suanquan.use_cases.centres import Said
from suanquan.use_cases.desk import decide_waiting
from suanquan.use_cases.overview import overview
from suanquan.use_cases.quarantine import Decision, list_waiting, parse_place
from suanquan.use_cases.shares import Terms
from suanquan.use_cases.verify_ledger import verify_ledger
from tests.suanquan.harness import HOUR_MS, NOON_US, Agent, request, usage
from tests.suanquan.sight import BACK_ENDS, opened

DAY_US = 86_400_000_000
SHA = "ab" * 32
START = shanghai_day_us(date(2026, 1, 1))
INVESTED = "compute_equipment_investment_yuan"


@pytest.fixture(scope="module", params=BACK_ENDS)
def here(request, tmp_path_factory):
    with opened(request, tmp_path_factory, "centres") as found:
        yield found


def new_centre(here, centre, **cards):
    here.run(setup.register_centre(here.service.journal, here.service.catalog, centre, centre, cards or {"A100": 8}))
    return centre


def shown(here, centre, at_us=START):
    service = here.service
    return here.read(lambda conn: centre_object(conn, service.catalog, service.subsidies, centre, at_us))


def said(day_us=START, **changes):
    return replace(Said("甲", day_us, SHA, "理由"), **changes)


def code_of(here, coroutine):
    with pytest.raises(DomainError) as caught:
        here.run(coroutine)
    return caught.value.code


def test_the_policy_judges_what_is_registered(here):
    """20,000 PFLOPS dense, 3e9 yuan, PUE below 1.25 over a whole year, 10 % green: each criterion by its own threshold."""
    service, centre = here.service, new_centre(here, "judged")
    cards = [Card(f"S{n}", "H100-SXM", START, INT64_MAX) for n in range(20_223)]
    assert (
        here.run(centres.register_inventory(service.journal, service.catalog, centre, cards, said()))["unknown"] == {}
    )
    for number in range(1, 12):
        reading = Energy(f"2025-{number:02d}", 1250, 1000, 125)
        here.run(centres.register_energy(service.journal, centre, reading, said()))
    assert shown(here, centre)["verdict"]["missing"] != []
    here.run(centres.register_energy(service.journal, centre, Energy("2025-12", 1250, 1000, 125), said()))
    criteria = shown(here, centre)["verdict"]["criteria"]
    assert (criteria["pue_below"], criteria["green_power_share_at_least"]) == (False, True)
    here.run(centres.register_energy(service.journal, centre, Energy("2025-12", 1249, 1000, 124), said()))
    for name, value in (
        (INVESTED, 3_000_000_000),
        ("meets_latest_shanghai_data_centre_guideline", True),
        ("meets_municipal_energy_and_new_build_rules", True),
    ):
        here.run(centres.register_statement(service.journal, service.subsidies, centre, name, value, said()))
    verdict = here.run(admit(service.journal, service.catalog, service.subsidies, centre, said()))
    assert verdict["criteria"]["pue_below"]
    assert not verdict["criteria"]["green_power_share_at_least"]
    here.run(centres.register_energy(service.journal, centre, Energy("2025-12", 1249, 1000, 125), said()))
    verdict = here.run(admit(service.journal, service.catalog, service.subsidies, centre, said()))
    assert (verdict["status"], set(verdict["criteria"].values())) == ("eligible", {True})
    seen = shown(here, centre)
    assert (seen["admission"]["status"], seen["admission"]["officer"]) == ("eligible", "甲")
    assert shown(here, centre, START - 1)["admission"] is None


def test_capacity_is_that_of_the_cards_not_of_the_claim(here):
    """Declared 8, two on the list: the figures and the hold for too many cards at once use the declared or counted cards."""
    service, centre = here.service, new_centre(here, "counted")
    cards = [Card("S1", "A100", START, INT64_MAX), Card("S2", "NVIDIA A100", START, INT64_MAX)]
    answer = here.run(centres.register_inventory(service.journal, service.catalog, centre, cards, said()))
    assert (answer["capacity"], answer["pflops"]) == ({"A100": 2}, "0.624000")
    [found] = [one for one in here.read(lambda c: overview(c, service.catalog)).centres if one.centre == centre]
    assert found.capacity_gflops == 2 * 312_000
    assert shown(here, centre)["declared_cards"] == {"A100": 8}


def test_more_cards_than_the_list_has_wait(here):
    """Two A100 since January on the list, eight declared: three wait, two before January do, as an H100 does. Wrong: all up to eight pass."""
    service, centre = here.service, new_centre(here, "listed")
    cards = [Card("T1", "A100", START, INT64_MAX), Card("T2", "A100", START, INT64_MAX)]
    here.run(centres.register_inventory(service.journal, service.catalog, centre, cards, said()))
    later, before = START + 40 * DAY_US, START - DAY_US
    terms = Terms(centre, service.rules.tariffs(centre), service.rules.schemes)
    for number, (start_us, model, count_milli, code) in enumerate([
        (later, "A100", 2000, "accepted"), (later, "a100", 2001, "over-capacity"), (before, "A100", 1000, "over-capacity"),
        (later, "H100-SXM", 1000, "over-capacity"), (START - HOUR_MS, "A100", 2000, "accepted"),
    ]):  # fmt: skip
        end_us = start_us + HOUR_MS * 1000
        one = usage(number, model=model, cards_milli=count_milli, start_us=start_us, end_us=end_us)
        compact = read_cloudevents(batch_body([number_event(encode_event(one, "urn:x"), 1)]), service.now_us)
        quick = here.do(lambda tx, compact=compact: nothing_waits(tx, compact, terms))
        assert quick <= (code == "accepted"), "who takes the quick way must have looked"
        assert quick or start_us < START or code != "accepted"
        assert here.report(one, centre=centre) == [code], number


def test_facts_that_cannot_be_are_refused_and_leave_nothing(here):
    """No such centre, no evidence, no such fact, a bad code: a stable code each, and no row."""
    service, centre = here.service, new_centre(here, "refused")
    rules, journal = service.subsidies, service.journal
    energy = Energy("2026-01", 2, 1, 0)
    assert code_of(here, centres.register_energy(journal, "nobody", energy, said())) == "centre-unknown"
    assert code_of(here, centres.register_energy(journal, centre, energy, said(evidence=""))) == "evidence-missing"
    assert code_of(here, centres.register_energy(journal, centre, energy, said(evidence="x"))) == "evidence-malformed"
    assert (
        code_of(here, centres.register_energy(journal, centre, replace(energy, month="x"), said())) == "month-malformed"
    )
    assert code_of(here, centres.register_energy(journal, centre, energy, said(officer=" "))) == "reason-missing"
    for name, value, code in (
        ("no_such_fact", 1, "facts-refused"),
        (INVESTED, "many", "facts-refused"),
        ("declared_tflops", {"tflops": -1, "sparse": False}, "statement-invalid"),
        ("declared_tflops", 5, "statement-invalid"),
        ("operator", "123", "uscc-malformed"),
    ):
        assert code_of(here, centres.register_statement(journal, rules, centre, name, value, said())) == code
    assert code_of(here, centres.switch(journal, centre, said(), suspended=False)) == "centre-not-suspended"
    assert here.read(lambda conn: centre_store.load_facts(conn, centre)) == []


def test_usage_of_a_suspended_centre_waits_and_is_not_lost(here):
    """What reaches into the suspension waits, closed or running; what ended before it does not; after release it is posted."""
    service = here.service
    hour_us = HOUR_MS * 1000
    before, inside = usage(1, id="a"), usage(2, id="b", start_us=NOON_US + hour_us, end_us=NOON_US + 2 * hour_us)
    running = replace(inside, id="c", final=False)
    here.run(centres.switch(service.journal, "sj01", said(NOON_US + hour_us), suspended=True))
    assert code_of(here, centres.switch(service.journal, "sj01", said(NOON_US + hour_us), suspended=True)) == (
        "centre-suspended"
    )
    assert here.report(before, inside, running) == ["accepted", "centre-suspended", "centre-suspended"]
    waiting = here.read(lambda conn: list_waiting(conn, EVERYTHING, centre="sj01"))
    assert {(one["id"], one["code"]) for one in waiting} == {("b", "centre-suspended"), ("c", "centre-suspended")}
    here.run(centres.switch(service.journal, "sj01", said(NOON_US + 2 * hour_us), suspended=False))
    assert here.report(usage(3, id="d", start_us=NOON_US + 2 * hour_us, end_us=NOON_US + 3 * hour_us)) == ["accepted"]
    place = next(parse_place(one["place"]) for one in waiting if one["id"] == "b")
    decision = Decision(place, Verdict.RELEASE, "乙", "检修期间经批准运行")
    assert here.run(decide_waiting(service.journal, service.rules, decision))["verdict"] == "release"
    assert here.read(lambda conn: verify_ledger(conn, lambda _done, _size: None))["ok"]


def test_officers_register_over_http(service, installation):
    """Cards, energy, a suspension and the view of it all; who has no token sees nothing, and bad bodies are named."""
    headers = {"authorization": f"Bearer {installation.token}", "content-type": "application/json"}

    def call(method, path, body=None, status=200, given=headers):
        answer = request(service.url, method, f"/v1/centres/sj02{path}", body and body.encode(), given)
        assert answer.status == status, answer
        return answer.content

    call("POST", "/inventory", '{"from": "2026-01-01", "cards": [{"serial": "S1", "model": "A100"}]}')
    energy = f'{{"month": "2026-01", "total_kwh": 12, "it_kwh": 10, "green_kwh": 3, "evidence": "{SHA}"}}'
    assert call("POST", "/energy", energy)["energy"][0]["pue"] == "1.200000"
    call("POST", "/facts", '{"fact": "operator", "value": "91350100M000100Y43", "from": "2026-01-01"}')
    assert call("POST", "/suspend", '{"from": "2026-02-01", "reason": "检修"}')["suspended"] == "检修"
    assert call("POST", "/resume", '{"from": "2026-02-02", "reason": "修毕"}')["suspended"] is None
    assert call("POST", "/admission", '{"from": "2026-02-01"}')["status"] == "not_eligible"
    assert call("GET", "?on=2026-02-01")["suspended"] == "检修"
    call("POST", "/suspend", '{"from": "2025-03-01", "reason": "停电"}')
    agent = Agent(service.url, centre="sj02")
    assert [one.get("code") for one in agent.report(agent.event(1)).content["results"]] == ["centre-suspended"]
    twice = '{"from": "2026-01-01", "cards": [{"serial": "S", "model": "A100"}, {"serial": "S", "model": "A100"}]}'
    assert call("POST", "/inventory", twice, 422)["code"] == "inventory-invalid"
    assert call("POST", "/suspend", '{"reason": "x"}', 422)["code"] == "request-invalid"
    call("GET", "", status=401, given={})
