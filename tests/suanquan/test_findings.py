"""Every check over a real home on both databases: what is wrong there is raised once, with evidence, and blocks nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger.amount import INT64_MAX
from ledger.errors import DomainError
from ledger.sql import Conflict, insert_tables
from metering import fate_store, sight_store
from metering.capacity import Card
from metering.completeness import Declaration
from metering.prices import Price, PriceList
from metering.store import declare
from metering.telemetry import DeviceRun, PoolHour
from metering.zones import shanghai_day_us
from suanquan.service import open_service
from suanquan.use_cases import centres, parties, setup
from suanquan.use_cases.findings import (
    examine,
    finding_object,
    from_json,
    list_findings,
    record,
    review,
    thresholds_of,
    to_json,
)
from suanquan.use_cases.gather import _papers
from suanquan.use_cases.sight import Window, pools
from suanquan.use_cases.verify_ledger import verify_ledger
from tests.suanquan.harness import HOUR_MS, NOON_US, PASSPHRASE, ThreadedService, give, request, usage
from tests.suanquan.sight import BACK_ENDS, Here, opened
from voucher import finding_store, tables
from voucher.findings import CHECKS, State, Verdict
from voucher.findings_money import used_twice
from voucher.hold_store import Part
from voucher.holder import sandbox_uscc

DAY_US = 86_400_000_000
HOUR_US = HOUR_MS * 1000
OPERATOR, FIRM, SHELL, BANNED = (sandbox_uscc(number) for number in range(11, 15))
START = shanghai_day_us(date(2025, 3, 1))
SAID = centres.Said("甲", START, "ab" * 32, "理由")


@pytest.fixture(scope="module", params=BACK_ENDS)
def here(request, tmp_path_factory):
    """A home where every pattern that can be seen in it has happened, and the checks have run once."""
    with opened(request, tmp_path_factory, "findings") as found:
        _do_wrong(found)
        found.first = run(found)
        yield found


def run(here, *, again=False):
    service = here.service
    limits = thresholds_of(service.home.config)
    office = service.proceedings.office
    found = here.read(lambda conn: examine(conn, service.catalog, office, limits, service.now_us, again=again))
    return here.run(record(service.journal, from_json(json.loads(json.dumps(to_json(found))))))


def queue(here, **wanted):
    return here.read(lambda conn: list_findings(conn, limit=1000, **wanted))["findings"]


def _do_wrong(here):
    service = here.service
    journal, catalog = service.journal, service.catalog
    rise = [
        Price("sj02", "A100", 12_000_000, 0, shanghai_day_us(date(2024, 9, 15)), "before"),
        Price("sj02", "A100", 15_000_000, shanghai_day_us(date(2024, 9, 15)), INT64_MAX, "after"),
        Price(None, "A100", 12_000_000, 0, INT64_MAX, "general"),
    ]
    service.catalog = replace(catalog, prices=PriceList(rise))
    here.run(centres.register_inventory(journal, catalog, "sj01", [Card("S1", "A100", START, INT64_MAX)], SAID))
    here.run(centres.register_statement(journal, service.subsidies, "sj01", "operator", OPERATOR, SAID))
    claim = {"tflops": 624, "sparse": True}
    here.run(centres.register_statement(journal, service.subsidies, "sj01", "declared_tflops", claim, SAID))
    traits = [parties.Said(firm, "phone", "021-5555") for firm in (OPERATOR, FIRM, SHELL, BANNED)]
    traits += [parties.Said(firm, "building", "B7") for firm in (FIRM, SHELL, BANNED)]
    here.run(parties.learn(journal, traits, "工商登记"))
    here.run(parties.ban(journal, BANNED, "沪财罚〔2025〕3号", "甲", (START, INT64_MAX)))
    here.run(parties.tell(journal, "sj02", "送笔记本", "甲"))
    for account, holder in (("team", FIRM), ("own", OPERATOR)):
        here.run(setup.bind_account(journal, "sj01", account, holder))
    lent = here.run(give(service, SHELL, "100000000"))
    for holder in (FIRM, FIRM, FIRM, FIRM, FIRM, *[SHELL] * 4):
        here.run(give(service, holder, "100000000"))
    here.run(give(service, FIRM, "100000000"))
    _report(here, lent.jti)
    here.do(_write_past_the_rules)
    month = Declaration(202503, "team", 1, 99, 5)
    here.do(lambda tx: declare(tx.connection, "sj02", "kid", service.now_us, [month]))


def _report(here, jti):
    """Beyond the cards, twice by two agents, one job again and again, with somebody else's voucher."""
    long = {"end_us": NOON_US + 20 * DAY_US, "active_ms": 20 * 86_400_000, "account": "team"}
    both = [usage(n, id=f"long{n}", job=f"j{n}", **long) for n in (1, 2)]
    assert here.report(*both) == ["accepted"] * 2
    assert here.report(replace(both[0], id="again"), agent="other") == ["accepted"]
    lent = usage(3, id="lent", account="team", voucher=jti, start_us=NOON_US + 40 * DAY_US)
    lent = replace(lent, end_us=lent.start_us + HOUR_US)
    assert here.report(lent, replace(lent, id="gone")) == ["accepted"] * 2
    flat = [
        usage(n, id=f"flat{n:02}", start_us=NOON_US + n * HOUR_US, end_us=NOON_US + (n + 1) * HOUR_US)
        for n in range(20)
    ]
    assert set(here.report(*flat, centre="sj02")) == {"accepted"}


async def _write_past_the_rules(tx):
    """What no surface lets through: a correction that one person made and approved; and a hold for a metered job."""
    fact = fate_store.Fact(1, 1, "gone", "void", 1, b"", "x", "王", "王", 1)
    await fate_store.write_facts(tx.connection, [fact])
    await fate_store.put_states(tx.connection, [fate_store.State(1, "gone", "sj01", "team", 1, b"", ())])
    parts = [tuple(Part(1, "h1", "jti", "sj01", 5, "j2", "proof"))]
    await insert_tables(tx.connection, [(tables.hold_part, parts, Conflict.REFUSE)])
    seen = [PoolHour("A100", NOON_US + n * HOUR_US, n * 600_000, HOUR_MS, 0) for n in (0, 3)]
    await sight_store.put_hours(tx.connection, "sj01", "urn", seen, 1)
    runs = [
        DeviceRun("GPU-1", NOON_US, "team", "j1", NOON_US + 2 * DAY_US, "A100", 0, 2 * 86_400_000),
        DeviceRun("GPU-1", NOON_US + DAY_US, "x", "j9", NOON_US + DAY_US + 1, "A100", 1, 1),
    ]
    await sight_store.put_runs(tx.connection, "sj01", "urn", runs, 1)


EXPECTED = {
    "A1": ("sj02", "price_over_tariff_fen"),
    "A2": (FIRM, "phone"),
    "A3": ("sj01", "possible_gpu_ms"),
    "A4": ("B*** #", "building"),
    "A6": (FIRM, "claimed_fen"),
    "A7": ("hold h1", "usage_record"),
    "A8": ("", "usage_record"),
    "A9": ("sj02", "median_before"),
    "A10": ("sj01", "sparse"),
    "A11": (OPERATOR, "centre_owner"),
    "A13": ("sj02", "segments_declared_and_arrived"),
    "A14": ("usage gone", "approve"),
    "A15": (FIRM, "sanction"),
    "S1": ("sj01", "used_and_capacity"),
    "S2": ("sj01", "shared_us"),
    "S3": ("sj01 team", "usage_record"),
    "S4": ("sj01", "idle-held"),
    "S5": ("sj01 team", "idle_card_hours"),
}
"""Of each check whom a finding concerns (or how that begins), and an item of its evidence."""


@pytest.mark.parametrize("check", EXPECTED)
def test_what_is_wrong_is_raised(here, check):
    """The finding names whom it concerns and has the evidence; it waits for a person."""
    subject, item = EXPECTED[check]
    found = [one for one in queue(here, check=check) if one["subject"].startswith(subject)]
    assert found, [(one["check"], one["subject"]) for one in queue(here)]
    shown = [here.read(lambda conn, one=one: finding_object(conn, one["id"])) for one in found]
    assert {one["state"] for one in shown} == {"open"}
    assert any(item == evidence["name"] for one in shown for evidence in one["evidence"])
    assert all(one["question"] and one["check_zh"] for one in shown)


def test_what_does_not_count_is_no_evidence(here):
    """A record that was voided and one that no job ran twice are in no finding."""
    for one in queue(here, check="S3") + queue(here, check="A8"):
        shown = here.read(lambda conn, one=one: finding_object(conn, one["id"]))
        assert not any(item["record"].endswith(" gone") for item in shown["evidence"])


def test_nothing_is_raised_twice(here):
    """Over what is new nothing is found; over everything again the same findings, with the same ids."""
    before = {one["id"] for one in queue(here)}
    assert here.first["raised"] == len(before)
    for again in (False, True):
        told = run(here, again=again)
        assert (told["raised"], told["renewed"]) == (0, 0), told
    assert {one["id"] for one in queue(here)} == before


def test_findings_tell_nothing_that_is_personal(here):
    """Phones stand there masked and blinded, in the finding as in the register."""
    shown = [here.read(lambda conn, one=one: finding_object(conn, one["id"])) for one in queue(here, check="A2")]
    assert "021-5555" not in json.dumps(shown)
    assert "02***55 #" in json.dumps(shown)
    assert "021-5555" not in json.dumps(here.read(parties.parties_object))


def test_a_review_is_kept_with_name_reason_and_time(here):
    """Decided once; the same said twice is one decision; opened again, and decided otherwise; all of it stays."""
    [one] = [item for item in queue(here, check="A10") if "624" in item["en"]]

    def say(state, officer="乙", reason="样本核对"):
        return here.run(review(here.service.journal, one["id"], Verdict(State(state), officer, reason)))

    assert say("upheld")["state"] == "upheld"
    assert len(say("upheld")["reviews"]) == 1
    with pytest.raises(DomainError, match="upheld"):
        say("dismissed", "丙")
    say("open", "丙", "新材料")
    shown = say("explained", "丙", "厂商口径")
    assert [(item["state"], item["officer"]) for item in shown["reviews"]] == [
        ("upheld", "乙"),
        ("open", "丙"),
        ("explained", "丙"),
    ]
    assert one["id"] in {item["id"] for item in queue(here, state="explained")}
    assert one["id"] not in {item["id"] for item in queue(here, state="open")}
    with pytest.raises(DomainError) as caught:
        here.run(review(here.service.journal, "0" * 32, Verdict(State.UPHELD, "乙", "x")))
    assert caught.value.code == "finding-unknown"


def test_new_evidence_reopens_nothing_and_is_told(here):
    """A decided finding that grows stays decided, and says that there is more than its reviewer saw."""
    [one] = [item for item in queue(here, check="S5") if item["subject"] == "sj01 team"]
    here.run(review(here.service.journal, one["id"], Verdict(State.EXPLAINED, "乙", "检修")))
    more = DeviceRun("GPU-9", NOON_US, "team", "j1", NOON_US + 2 * DAY_US, "A100", 0, 2 * 86_400_000)
    now_us = here.service.now_us

    async def seen(tx):
        await sight_store.put_runs(tx.connection, "sj01", "urn", [more], now_us)

    here.do(seen)
    told = run(here)
    assert told["renewed"] == 1
    [again] = [item for item in queue(here, check="S5") if item["id"] == one["id"]]
    assert (again["state"], again["renewed"]) == ("explained", True)


def test_pages_hold_every_finding_once(here):
    """From any finding on, newest first."""
    whole, pages, after = [one["id"] for one in queue(here)], [], ""
    while after is not None:
        page = here.read(lambda conn, after=after: list_findings(conn, after=after, limit=3))
        pages += [one["id"] for one in page["findings"]]
        after = page["next"]
    assert pages == whole
    with pytest.raises(DomainError, match="A13"):
        queue(here, check="B1")


def test_open_findings_are_counted_by_check(here):
    """The count is that of the queue."""
    counted = here.read(finding_store.count_open)
    for check in CHECKS:
        assert counted.get(check, 0) == len(queue(here, check=check, state="open"))


def test_hours_of_pools_lie_side_by_side(here):
    """What was reported as held, in whole milliseconds, beside what the monitor saw; hours that nobody saw say so."""
    window = Window("sj01", NOON_US, NOON_US + 4 * HOUR_US)
    hours = here.read(lambda conn: pools(conn, here.service.catalog, window))
    assert [(one["model"], one["allocated_ms"], one["busy_ms"]) for one in hours] == [
        ("A100", str(3 * HOUR_MS), "0"),
        ("A100", str(3 * HOUR_MS), None),
        ("A100", str(3 * HOUR_MS), None),
        ("A100", str(3 * HOUR_MS), "1800000"),
    ]


def test_a_party_can_be_forgotten(here):
    """Nothing ties it any more; who is not there is not forgotten."""
    stranger = [parties.Said("stranger", "phone", "110")]
    here.run(parties.learn(here.service.journal, stranger, "来访"))
    assert here.run(parties.forget(here.service.journal, "stranger", "甲", "本人要求")) == 1
    with pytest.raises(DomainError) as caught:
        here.run(parties.forget(here.service.journal, "stranger", "甲", "本人要求"))
    assert caught.value.code == "party-unknown"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("party,kind\n", "p.csv:1"),
        ("party,kind,value\na,phone,\n", "p.csv:2"),
        ("party,kind,value\na,shoe,1\n", "p.csv:2"),
        ("party,kind,value\n", "1 至"),
        ('party,kind,value\n"a\n', "p.csv"),
    ],
)
def test_a_bad_list_of_parties_says_where(text, where):
    """Header, line and kind are named."""
    with pytest.raises(DomainError) as caught:
        parties.read_traits(text.encode(), "p.csv")
    assert where in caught.value.zh


def test_a5_one_document_in_applications_of_two_applicants():
    """The register keeps one applicant from naming a document twice; two applicants with one document are found."""

    def application(name, applicant, document, *, contracted=False):
        costs = [{"issuer": "甲", "document": document, "yuan": "1"}]
        contract = {"provider": "乙", "number": document} if contracted else {}
        case = SimpleNamespace(applicant=applicant, costs=costs, contract=contract)
        return SimpleNamespace(id=name, clause="c", case=case)

    apart = [application("1", "a", "N1"), application("2", "a", "N1"), application("3", "b", "N2")]
    assert not list(used_twice(_papers(apart)))
    [found] = used_twice(_papers([*apart, application("4", "b", "N1")]))
    assert (found.check, found.subject) == ("A5", "甲 N1")
    both = [application(name, name, "N9", contracted=True) for name in ("x", "y")]
    assert {one.subject for one in used_twice(_papers(both))} == {"甲 N9", "乙 N9"}


def test_a_sound_home_has_no_findings(template, tmp_path):
    """Registered, within the cards, reported by one agent, seen busy: nothing is raised."""
    home = template.copy_to(tmp_path / "home").home
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        service = runner.run(_entered(stack, runner, open_service(home, PASSPHRASE)))
        here = Here(service, runner)
        here.run(setup.bind_account(service.journal, "sj01", "alone", FIRM))
        here.run(give(service, FIRM, "1000"))
        now_us = service.now_us // HOUR_US * HOUR_US
        times = {"start_us": now_us - 100 * HOUR_US, "end_us": now_us - 99 * HOUR_US}
        assert here.report(usage(1, **times), usage(2, **{**times, "account": "other"})) == ["accepted"] * 2
        seen = PoolHour("A100", times["start_us"], HOUR_MS, 2 * HOUR_MS, HOUR_MS * 400)
        here.do(lambda tx: sight_store.put_hours(tx.connection, "sj01", "urn", [seen], now_us))
        assert run(here) == {"run": 1, "raised": 0, "renewed": 0, "by_check": {}}


async def _entered(stack, runner, manager):
    service = await manager.__aenter__()
    stack.callback(lambda: runner.run(manager.__aexit__(None, None, None)))
    return service


def test_the_service_runs_the_checks_and_officers_review_over_http(installation, monkeypatch):
    """Run, list, show, decide, tell: with a token; the job does the same in a process of its own."""
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, *sys.path]))
    headers = {"authorization": f"Bearer {installation.token}", "content-type": "application/json"}
    with ThreadedService(installation.home) as service:

        def call(method, path, body=None, status=200, given=headers):
            answer = request(service.url, method, f"/v1/{path}", body and json.dumps(body).encode(), given)
            assert answer.status == status, answer
            return answer.content

        claim = {"fact": "declared_tflops", "value": {"tflops": 5, "sparse": True}, "from": "2026-01-01"}
        call("POST", "centres/sj01/facts", claim)
        assert call("POST", "findings/run") == {"run": 1, "raised": 1, "renewed": 0, "by_check": {"A10": 1}}
        [one] = call("GET", "findings?state=open&check=A10")["findings"]
        path = f"findings/{one['id']}"
        assert call("GET", path)["evidence"][0] == {"name": "sparse", "value": "true", "record": "sj01"}
        assert call("POST", f"{path}/review", {"state": "upheld", "reason": "x"})["reviews"][0]["officer"] == "admin"
        assert call("POST", f"{path}/review", {"state": "guilty", "reason": "x"}, 422)["code"] == "request-invalid"
        assert call("POST", f"{path}/review", {"state": "upheld", "reason": "y"}, 409)["code"] == "finding-decided"
        assert call("GET", "findings?state=none", status=422)["code"] == "finding-filter-invalid"
        assert call("GET", f"findings/{'0' * 32}", status=404)["code"] == "finding-unknown"
        traits = {"origin": "申请表", "traits": [{"party": "a", "kind": "phone", "value": "12345"}]}
        assert call("POST", "parties/traits", traits) == {"traits": 1, "parties": 1}
        assert call("POST", "sanctions", {"party": "a", "decision": "d", "from": "2026-01-01"}) == {"number": 1}
        assert call("POST", "tips", {"provider": "sj01", "message": "m"}) == {"number": 1}
        seen = call("GET", "parties?party=a")
        assert (seen["traits"][0]["value"][:3], seen["sanctions"][0]["until"]) == ("12*", None)
        assert call("POST", "parties/a/forget", {"reason": "r"}) == {"traits": 1}
        call("GET", "findings", status=401, given={})


def test_the_ledger_still_verifies(here):
    """Runs, reviews and registers stand in the log as notes. The fact that nobody could have written is found, and no other."""
    report = here.read(lambda conn: verify_ledger(conn, lambda _done, _size: None))
    assert not report["ok"]
    assert report["fault"]["where"].startswith("usage_fact")
