"""A1 to A15: each pattern is found with its evidence, an honest programme gives no finding, and nothing blocks."""

from dataclasses import replace
from datetime import date

import pytest

from metering.capacity import Card
from tests.shared_data import ROOT
from voucher.errors import VoucherError
from voucher.finding import Evidence, load_thresholds
from voucher.findings import CHECKS, State, Verdict, check_verdict, finding_id, merged
from voucher.findings_money import (
    Line,
    Paid,
    Paper,
    both_sides,
    misplaced_items,
    paybacks,
    price_rises,
    used_twice,
)
from voucher.findings_parties import (
    Act,
    Party,
    Relations,
    banned_again,
    borrowed_vouchers,
    insider_acts,
    own_use,
    proxy_clusters,
    related_parties,
    split_firms,
)
from voucher.findings_usage import (
    Declared,
    Job,
    Period,
    Plant,
    counted_twice,
    incomplete_reports,
    inflated_capacity,
    sham_use,
)

FILE = ROOT / "config/findings/thresholds.toml"
LIMITS = load_thresholds(FILE.read_bytes(), FILE.name)
HOUR = 3_600_000


def party(name, **traits):
    return Party(name, frozenset(traits.items()))


PEOPLE = Relations(
    [
        party("firm", officer="Li", phone="1"),
        party("shell", officer="Li", address="9"),
        party("provider", address="9", shareholder="Wang"),
        party("stranger", officer="Zhao"),
        party("reviewer", phone="1"),
    ]
)


def only(found):
    (suspicion,) = found
    assert suspicion.evidence
    assert suspicion.zh
    assert suspicion.en
    assert suspicion.question
    return suspicion


def facts(suspicion):
    return {(item.name, item.value) for item in suspicion.evidence}


BILL = Paid("b1", "firm", "provider", 1000, 900, 500, 500, True)


@pytest.mark.parametrize(
    ("change", "tips", "evidence"),
    [
        ({"own_paid_fen": 499}, [], {("own_share_unproved_fen", "1")}),
        ({"price_fen": 1081}, [], {("price_over_tariff_fen", "181")}),
        ({}, [("provider", "laptops")], {("tip", "laptops")}),
        (
            {"own_paid_fen": 0, "confirmed": False},
            [],
            {("own_share_unproved_fen", "500"), ("receipt_unconfirmed", "true")},
        ),
    ],
)
def test_a1_a_payback_shows_in_the_own_share_the_price_or_a_tip(change, tips, evidence):
    """Each sign is evidence; the provider is asked."""
    found = only(paybacks([replace(BILL, **change)], tips, LIMITS))
    assert (found.check, found.subject, facts(found)) == ("A1", "provider", evidence)


def test_a1_an_honest_bill_is_no_finding():
    """Exactly 20 % above the tariff is not above it, and an unconfirmed receipt alone accuses nobody."""
    assert not list(
        paybacks([BILL, replace(BILL, price_fen=1080), replace(BILL, confirmed=False)], [("other", "x")], LIMITS)
    )


def test_a2_related_parties_are_found_over_a_third():
    """One officer in two firms, one address with the provider: the way from one to the other is the evidence."""
    found = only(
        related_parties([("firm", "provider"), ("stranger", "provider"), ("firm", "provider")], PEOPLE, LIMITS)
    )
    assert (found.check, found.subject) == ("A2", "firm")
    assert [(item.name, item.record) for item in found.evidence] == [
        ("officer", "firm – shell"),
        ("address", "shell – provider"),
    ]
    assert not list(related_parties([("firm", "provider")], PEOPLE, replace(LIMITS, relation_depth=1)))


def job(number, **changes):
    fields = {
        "start_us": number * HOUR,
        "end_us": (number + 1) * HOUR,
        "gpu_ms": 1000 + number,
        "fingerprint": f"f{number}",
    }
    return Job(f"j{number:03}", "sj01", "team", **(fields | changes))


PLANT = Plant("sj01", "2025-06", cards=1, period_ms=100_000, kwh_measured=100, kwh_rated=100)


@pytest.mark.parametrize(
    ("jobs", "plant", "name"),
    [
        ([job(0, gpu_ms=100_001)], {}, "possible_gpu_ms"),
        ([], {"kwh_measured": 131}, "kwh_measured"),
        ([], {"kwh_measured": 69}, "kwh_measured"),
        ([job(0, cards=("c0",)), job(1, cards=("c0",), start_us=HOUR - 1)], {}, "job"),
        ([job(number, fingerprint="same") for number in range(5)], {}, "job"),
        ([job(number, gpu_ms=7) for number in range(20)], {}, "jobs"),
    ],
    ids=["capacity", "kwh high", "kwh low", "overlap", "repeated", "flat"],
)
def test_a3_sham_use_shows_in_time_electricity_cards_and_sameness(jobs, plant, name):
    """More than the cards can do, current that does not fit, one card twice, one job again and again, a flat line."""
    found = only(sham_use(jobs, [replace(PLANT, **plant)], LIMITS))
    assert found.check == "A3"
    assert name in {item.name for item in found.evidence}


def test_a3_real_use_is_no_finding():
    """Full use, the edge of the band, jobs back to back on one card, four equal jobs, nineteen of equal size."""
    full = [job(number, cards=("c0",), gpu_ms=5000) for number in range(19)]
    full += [job(30, gpu_ms=5001)] + [job(40 + number, fingerprint="same") for number in range(3)]
    for kwh in (70, 130, None):
        plant = replace(PLANT, kwh_measured=kwh, period_ms=200_000)
        assert not list(sham_use(full, [plant], LIMITS))


def test_a4_applications_from_one_place_cluster():
    """Three applicants behind one building; two behind one network address are no cluster."""
    three = [party(f"f{number}", building="B7", ip=f"10.0.0.{number // 2}") for number in range(3)]
    found = only(proxy_clusters(three, LIMITS))
    assert (found.check, found.subject) == ("A4", "B7")
    assert [item.record for item in found.evidence] == ["f0", "f1", "f2"]


def test_a5_one_paper_in_two_claims():
    """A contract at city and province, an invoice twice in one scheme; a paper of one claim under two kinds is fine."""
    papers = [
        Paper("c1", "city", "contract", "h1"),
        Paper("c2", "province", "contract", "h1"),
        Paper("c1", "city", "invoice", "h1"),
        Paper("c1", "city", "contract", "h1"),
    ]
    found = only(used_twice(papers))
    assert (found.check, found.subject) == ("A5", "h1")
    assert [item.record for item in found.evidence] == ["city c1", "province c2"]


def test_a6_a_split_firm_exceeds_the_cap_together():
    """Two related firms just below the cap; alone, or together below it, they are no finding."""
    found = only(split_firms({"firm": 150, "shell": 60, "stranger": 190}, 200, PEOPLE, LIMITS))
    assert (found.check, facts(found)) == ("A6", {("claimed_fen", "150"), ("claimed_fen", "60")})
    assert not list(split_firms({"firm": 150, "shell": 50, "stranger": 190}, 200, PEOPLE, LIMITS))


def test_a7_one_use_claimed_by_both_sides():
    """The records that both claims hold; the same side twice is another check's matter."""
    claims = [("c1", "supplier", "u1"), ("c2", "demander", "u1"), ("c2", "demander", "u2"), ("c2", "demander", "u2")]
    found = only(both_sides(claims))
    assert (found.check, [item.value for item in found.evidence]) == ("A7", ["u1"])


def test_a8_a_voucher_that_paid_for_somebody_else():
    """Holder and owner of the account differ, or nobody knows the account."""
    spent = [("v1", "acc1", "u1"), ("v1", "acc2", "u2"), ("v2", "acc9", "u3")]
    found = list(borrowed_vouchers(spent, {"v1": "firm", "v2": "firm"}, {"acc1": "firm", "acc2": "shell"}))
    assert [(item.check, item.subject, [e.value for e in item.evidence]) for item in found] == [
        *(("A8", "v1", ["u2"]), ("A8", "v2", ["u3"])),
    ]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(date(2024, 1, 1), 100), (date(2024, 8, 20), 116)], True),
        ([(date(2024, 1, 1), 100), (date(2024, 10, 1), 116)], True),
        ([(date(2024, 1, 1), 100), (date(2024, 10, 1), 115)], False),
        ([(date(2024, 1, 1), 200), (date(2024, 6, 1), 100), (date(2024, 10, 1), 116)], True),
        ([(date(2024, 6, 1), 100), (date(2024, 7, 1), 116)], False),
        ([(date(2024, 10, 1), 999)], False),
    ],
    ids=["just before", "later", "small", "after a fall", "long before", "no history"],
)
def test_a9_prices_are_compared_with_the_time_before_the_scheme(history, expected):
    """A rise of more than 15 % over the median of 150 days, shortly before the first day or after it."""
    found = list(price_rises({("sj01", "H100"): history}, date(2024, 9, 1), LIMITS))
    assert [item.check for item in found] == (["A9"] if expected else [])
    if found:
        assert {("price", "116"), ("median_before", "100")} == facts(found[0])


def test_a10_capacity_is_recomputed_from_the_cards():
    """The sparse figure of one and the same cluster is twice the dense one; 2 % are allowed, unknown models are named."""
    cards = {"sj01": {"H100-SXM": 100, "X": 5}}
    dense = {"H100-SXM": 989_500}
    assert not list(inflated_capacity([Declared("sj01", 100_929, False)], cards, dense, LIMITS))
    found = only(inflated_capacity([Declared("sj01", 197_900, False)], cards, dense, LIMITS))
    assert found.check == "A10"
    assert {("declared_tflops", "197900"), ("inventory_tflops", "98950"), ("model_unknown", "X")} == facts(found)
    assert facts(
        only(inflated_capacity([Declared("sj01", 98_950, True)], {"sj01": {"H100-SXM": 100}}, dense, LIMITS))
    ) == {("sparse", "true")}


def test_a10_one_card_counts_at_one_centre():
    """A serial number at two centres at a time is found; moved from one to the other it is not."""
    here = [Card("S1", "A100", 0, 100), Card("S2", "A100", 0, 100), Card("S3", "A100", 0, 50)]
    there = [Card("S1", "A100", 99, 200), Card("S2", "A100", 100, 200), Card("S3", "A100", 10, 20)]
    found = only(counted_twice({"sj01": here, "sj02": there, "sj03": []}))
    assert (found.check, found.subject, [item.record for item in found.evidence]) == ("A10", "sj01", ["S1", "S3"])
    assert not list(counted_twice({"sj01": here, "sj02": there[1:2]}))


@pytest.mark.parametrize(
    ("deal", "evidence"),
    [
        (("provider", "sj01", "lease"), {("centre_owner", "provider")}),
        (("shell", "sj01", "lease"), {("address", "9")}),
        (("stranger", "sj01", "self_built"), {("contract_type", "self_built")}),
    ],
)
def test_a11_a_plant_of_ones_own_is_no_service(deal, evidence):
    """Owner and beneficiary are one, are tied, or the contract itself says so."""
    found = only(own_use([deal, ("stranger", "sj02", "lease")], {"sj01": "provider"}, PEOPLE, LIMITS))
    assert (found.check, facts(found)) == ("A11", evidence)


def test_a12_storage_is_not_compute():
    """What an invoice says, and what was metered, against what is claimed; an honest line passes."""
    lines = [
        Line("c1", "compute", 900, "GPU 算力服务", 900),
        Line("c2", "compute", 900, "算力及对象存储服务", None),
        Line("c3", "compute", 900, "GPU 算力服务", 850),
        Line("c4", "storage", 900, "存储", None),
    ]
    found = list(misplaced_items(lines))
    assert [(item.check, item.subject, facts(item)) for item in found] == [
        ("A12", "c2", {("says", "存储")}),
        ("A12", "c3", {("over_metered_fen", "50")}),
    ]


@pytest.mark.parametrize(
    ("change", "evidence"),
    [
        ({"segments_declared": None}, {("declaration_missing", "true")}),
        ({"segments_arrived": 9}, {("segments_declared_and_arrived", "10 / 9")}),
        ({"numbers_missing": 3}, {("sequence_numbers_missing", "3")}),
        ({"gpu_ms_arrived": 6}, {("gpu_ms_declared_and_arrived", "5 / 6")}),
        ({"sequences": (1, 2, 5, 5, 9)}, {("sequence_gap", "3 – 4"), ("sequence_gap", "6 – 8")}),
    ],
)
def test_a13_reports_are_compared_with_what_was_declared(change, evidence):
    """Missing declarations, other sums, gaps in the numbers; a complete period is no finding."""
    whole = Period("sj01", "2025-06", 10, 10, 5, 5, (1, 2, 3))
    assert not list(incomplete_reports([whole]))
    found = only(incomplete_reports([replace(whole, **change)]))
    assert (found.check, facts(found)) == ("A13", evidence)


def test_a14_one_person_on_both_sides_and_acts_without_a_log():
    """Prepared and approved by one person; a reviewer with the applicant's phone; a step that the log does not have."""
    acts = [
        *(Act("c1", "prepare", "Wu", "17"), Act("c1", "approve", "Wu", "18")),
        *(Act("c2", "prepare", "Wu", "19"), Act("c2", "approve", "reviewer", "20")),
        *(Act("c3", "prepare", "Wu", "21"), Act("c3", "approve", "Qian", "")),
        *(Act("c4", "prepare", "Wu", "22"), Act("c4", "approve", "Qian", "23")),
    ]
    found = list(insider_acts(acts, {"c2": "firm", "c4": "stranger"}, PEOPLE, LIMITS))
    assert [(item.check, item.subject, sorted(facts(item))) for item in found] == [
        ("A14", "c1", [("approve", "Wu"), ("prepare", "Wu")]),
        ("A14", "c2", [("phone", "1")]),
        ("A14", "c3", [("approve", "Qian")]),
    ]


def test_a15_a_banned_firm_comes_back_under_another_name():
    """Itself, or one with its officer; the sanction is evidence; strangers pass."""
    found = list(banned_again(["shell", "stranger", "firm"], {"firm": "2025-3 号处罚决定"}, PEOPLE, LIMITS))
    assert [(item.check, item.subject) for item in found] == [("A15", "shell"), ("A15", "firm")]
    assert all(("sanction", "2025-3 号处罚决定") in facts(item) for item in found)


def test_a14_steps_that_one_person_may_take_are_no_finding():
    """Only pairs that two people take count, where it is known which they are."""
    acts = [Act("c1", "prepare", "Wu", "17"), Act("c1", "forward", "Wu", "18")]
    assert not list(insider_acts(acts, {}, PEOPLE, LIMITS, {frozenset({"prepare", "approve"})}))
    acts.append(Act("c1", "approve", "Wu", "19"))
    assert only(insider_acts(acts, {}, PEOPLE, LIMITS, {frozenset({"prepare", "approve"})})).key == "steps Wu"


def test_every_pattern_has_a_check():
    """Fifteen patterns of abuse and the second sight, each with words in both languages, and what looks for it."""
    assert list(CHECKS) == [f"A{number}" for number in range(1, 16)] + [f"S{number}" for number in range(1, 6)]
    assert all(check.zh and check.en and check.seen and callable(check.look) for check in CHECKS.values())
    assert len({check.look for check in CHECKS.values()}) == len(CHECKS)


def test_a_finding_found_again_is_the_same_finding():
    """More evidence, other numbers, another order: what it is about stays; another paper is another finding."""
    first, other = (
        only(used_twice([Paper("c1", "x", "invoice", key), Paper("c2", "y", "invoice", key)])) for key in "ab"
    )
    more = only(used_twice([Paper(f"c{number}", "x", "invoice", "a") for number in range(5)]))
    assert finding_id(first) == finding_id(more) != finding_id(other)
    nameless = replace(first, key="")
    assert finding_id(nameless) == finding_id(replace(nameless, evidence=first.evidence[::-1])) != finding_id(first)


def test_evidence_grows_and_is_bounded():
    """Of one thing the newer value; beyond the most that are kept nothing new is taken, and what is known still changes."""
    before = (Evidence("a", "1", "x"), Evidence("b", "1", "x"))
    assert merged(before, before) == before
    assert merged(before, [Evidence("a", "2", "x"), Evidence("c", "1", "x")], most=2) == (
        Evidence("a", "2", "x"),
        Evidence("b", "1", "x"),
    )
    assert len(merged(before, [Evidence("c", "1", "x")])) == 3


def test_a_verdict_has_a_name_and_a_reason_and_is_given_once():
    """An open finding is decided, a decided one opened again; nobody decides about himself; nothing is blocked by it."""
    evidence = [Evidence("approve", "Wu", "17")]

    def code(state, verdict):
        try:
            check_verdict(state, evidence, "firm", verdict)
        except VoucherError as error:
            return error.code
        return ""

    assert code(State.OPEN, Verdict(State.UPHELD, " ", "x")) == "verdict-invalid"
    assert code(State.OPEN, Verdict(State.UPHELD, "Zhou", "")) == "verdict-invalid"
    assert code(State.OPEN, Verdict(State.OPEN, "Zhou", "x")) == "finding-decided"
    assert code(State.UPHELD, Verdict(State.DISMISSED, "Zhou", "x")) == "finding-decided"
    assert code(State.OPEN, Verdict(State.DISMISSED, "Wu", "x")) == "reviewer-involved"
    assert code(State.OPEN, Verdict(State.EXPLAINED, "firm", "x")) == "reviewer-involved"
    assert code(State.OPEN, Verdict(State.EXPLAINED, "Zhou", "x")) == ""
    assert code(State.EXPLAINED, Verdict(State.OPEN, "Zhou", "x")) == ""


@pytest.mark.parametrize("data", [b"", b"x = ", b"[thresholds]\ncluster_applicants = 3", b"thresholds = 1"])
def test_thresholds_are_all_there_or_refused(data):
    """No check runs on a number that nobody set."""
    with pytest.raises(VoucherError, match=r"t\.toml"):
        load_thresholds(data, "t.toml")
    for wrong in ("0", "1.5", '"3"', "true"):
        text = FILE.read_text("utf-8").replace("cluster_applicants = 3 ", f"cluster_applicants = {wrong} ")
        with pytest.raises(VoucherError, match="cluster_applicants"):
            load_thresholds(text.encode(), "t.toml")
