"""What cities that no file ships would give: thresholds, combined ratios, versions, targets, budgets, and a new city by a file alone."""

import pytest
import yaml

from tests.voucher.claims import SHIPPED, bill, city, city_text, decision, facts, result
from voucher.scheme_cases import answer_cases, decision_object
from voucher.scheme_reader import load_series, parse_series

QINGYANG = SHIPPED["cn-gs-qingyang-2024"]


XIAMEN = """
[version.base]
kind = "paid_amount"
[[version.ratio]]
max_percent = "50"
[version.thresholds]
min_spend_fen = 30_000_000
[[version.cap]]
limit = "beneficiary_year"
fen = 50_000_000
counts = ["redeemed"]
[version.settlement]
payee = "beneficiary"
"""


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        ("299999.99", ("not_eligible", None, ["min_spend"])),
        ("300000", ("eligible", "150000", [])),
        ("1200000", ("eligible", "500000", ["cap_beneficiary_year"])),
    ],
)
def test_a_threshold_of_spending_is_reached_by_its_last_fen(spent, expected):
    """不低于 30 万: one fen less gets nothing."""
    assert result(decision(city(XIAMEN, mode="auto_enjoy"), cost_items=bill(spent))) == expected


LANGFANG = """
combine = "{combine}"
[version.base]
kind = "paid_amount"
included = ["compute", "storage", "support"]
[[version.ratio]]
max_percent = "60"
when = {{ fact = "beneficiary.project_level", in = ["national", "provincial"] }}
[[version.ratio]]
max_percent = "50"
[[version.cap]]
limit = "beneficiary_year"
fen = 100_000_000
counts = ["claimed", "redeemed"]
[version.contract]
claims_per_contract = 1
[version.evidence]
redeem = ["invoice"]
"""
LEVEL = """
[facts."beneficiary.project_level"]
type = "choice"
zh = "承担项目的级别"
en = "level of its project"
values = ["national", "provincial", "city"]
"""


@pytest.mark.parametrize(
    ("combine", "level", "percent"),
    [
        ("max", "national", 60),
        ("max", "city", 50),
        ("first", "national", 60),
        ("sum", "national", 100),
        ("max", None, 50),
    ],
)
def test_of_two_ratios_the_higher_one_counts_not_the_sum(combine, level, percent):
    """就高不就低: max(60 %, 50 %), then the cap; another city may say first, or sum, which never exceeds the whole."""
    text = city_text(LANGFANG.format(combine=combine), mode="issue_then_reimburse")
    head, _, rest = text.partition("[sources]")
    series = city_of(head + LEVEL.strip() + "\n[sources]" + rest)
    decided = decision(series, cost_items=bill("1000000"), beneficiary__project_level=level)
    assert result(decided) == ("eligible", str(percent * 10_000), [])
    capped = decision(series, cost_items=bill("5000000"), beneficiary__project_level=level)
    assert result(capped) == ("eligible", "1000000", ["cap_beneficiary_year"])


def city_of(text):
    return parse_series(text.encode(), "city.toml")


TWO = """
[version.base]
kind = "contract_amount"
[[version.ratio]]
max_percent = "{percent}"
[[version.cap]]
limit = "beneficiary_year"
fen = 900_000_000
counts = ["claimed"]
[version.settlement]
payee = "beneficiary"
"""


@pytest.mark.parametrize("decisive", ["application.received_on", "contract.signed_on", "usage.from"])
def test_the_version_in_force_on_the_decisive_date_decides(decisive):
    """A contract signed under the old text and applied for under the new one: which day counts is the scheme's choice."""
    text = city_text(TWO.format(percent="30"), mode="auto_enjoy").replace("application.received_on", decisive)
    first, version = text.split("[[version]]")
    old = version.replace('to = "open"', "to = 2024-06-30")
    new = version.replace('from = "open"', "from = 2024-07-01").replace('"1"', '"2"').replace('"30"', '"20"')
    series = city_of(first + "[[version]]" + old + "[[version]]" + new)
    days = {"contract__signed_on": "2024-06-30", "usage__from": "2024-07-01"}
    decided = decision(series, "2024-08-01", cost_items=bill("1000"), **days)
    expected = {"application.received_on": ("2", "200"), "contract.signed_on": ("1", "300"), "usage.from": ("2", "200")}
    assert (decided.scheme.version, result(decided)[1]) == expected[decisive]
    assert decision_object(decided)["decisive_date"] == decisive
    earlier = decision(series, "2024-06-01", cost_items=bill("1000"), **days)
    assert earlier.scheme.version == ("1" if decisive != "usage.from" else "2")


TARGET = """
[[version.cap]]
limit = "beneficiary_year"
fen = 100_000_000
counts = ["redeemed"]
[version.settlement]
payee = "provider_or_beneficiary"
[version.evidence]
settle = ["third_party_report", "annual_electricity"]
[version.target]
measure = "pflops_fp16"
least = 5000
exclusive = true
"""


@pytest.mark.parametrize(
    ("measured", "other", "status", "failed"),
    [
        (5000, False, "eligible", []),
        (4999, False, "not_eligible", ["target.measured"]),
        (6000, True, "not_eligible", ["target.other_side_claims"]),
        (None, False, "need_more_info", []),
    ],
)
def test_a_target_is_reached_or_not_and_one_side_claims(measured, other, status, failed):
    """达到 5000P is at least 5000; supplier and demander may not both claim."""
    series = city(TARGET, mode="target_responsibility")
    decided = decision(series, target__measured=measured, target__other_side_claims=other)
    assert result(decided) == (status, None, failed)


BOUND = """
[version.base]
kind = "contract_amount"
[[version.ratio]]
max_percent = "20"
[[version.cap]]
limit = "beneficiary_year"
fen = 100_000_000
counts = ["claimed"]
[[version.condition]]
fact = "facility.pue_thousandths"
lt = 1250
[version.settlement]
payee = "beneficiary"
"""
PUE = """
[facts."facility.pue_thousandths"]
type = "integer"
zh = "PUE 的千分数"
en = "PUE in thousandths"
"""


@pytest.mark.parametrize(("pue", "failed"), [(1249, []), (1250, ["facility.pue_thousandths"])])
def test_the_type_of_a_bound_is_that_of_its_words(pue, failed):
    """低于 1.25 is strict: exactly 1.25 fails."""
    text = city_text(BOUND, mode="auto_enjoy").replace("[sources]", PUE.strip() + "\n[sources]")
    assert result(decision(city_of(text), facility__pue_thousandths=pue))[2] == failed


def test_a_budget_binds_where_the_committed_sum_is_known():
    """What is committed is committed; over-issuing is possible only where the scheme says so."""
    committed = {"programme__committed_yuan": "99999000", "cost_items": bill("20000")}
    assert result(decision(QINGYANG, **committed)) == ("not_eligible", None, ["min_voucher"])
    committed["programme__committed_yuan"] = "99994500"
    assert result(decision(QINGYANG, **committed)) == ("eligible", "5500", ["budget"])
    body = TWO.format(percent="50") + "[version.budget]\nper_year_fen = 900_000_000\nover_issue = {over}\n"
    for over, yuan in (("true", "500"), ("false", "1")):
        series = city(body.format(over=over), mode="auto_enjoy")
        decided = decision(series, cost_items=bill("1000"), programme__committed_yuan="8999999")
        assert result(decided)[1] == yuan


def test_a_new_city_is_a_file_alone(tmp_path):
    """A folder with one more file has one more scheme, its own fact included: no line of code knows it."""
    head, _, rest = city_text(
        LANGFANG.format(combine="max"), mode="issue_then_reimburse", name="cn-new-city"
    ).partition("[sources]")
    (tmp_path / "new.toml").write_text(head + LEVEL.strip() + "\n[sources]" + rest, "utf-8")
    cases = yaml.safe_dump(
        {
            "cases": [
                {
                    "id": "a",
                    "scheme": "cn-new-city",
                    "date": "2024-03-01",
                    "facts": facts(beneficiary__project_level="national"),
                }
            ]
        }
    )
    (decided,) = answer_cases(load_series(tmp_path), cases, "cases.yaml")
    assert result(decided.decision) == ("eligible", "600000", [])


MAKERS = """
[version.base]
kind = "paid_amount"
[[version.ratio]]
max_percent = "50"
[[version.cap]]
limit = "beneficiary_year"
fen = 100_000_000
counts = ["claimed"]
[[version.condition]]
id = "beneficiary.kind"
any = [
  { fact = "beneficiary.kind", in = ["enterprise", "maker"] },
  { all = [
    { fact = "beneficiary.kind", in = ["university"] },
    { not = { fact = "beneficiary.region", count = { of = ["甲省"], ge = 1 } } },
  ] },
]
[version.settlement]
payee = "beneficiary"
"""


@pytest.mark.parametrize(
    ("kind", "region", "failed"),
    [
        ("maker", "甲省", []),
        ("enterprise", "丙省丁市", []),
        ("university", "丙省", []),
        ("university", "甲省乙市", ["beneficiary.kind"]),
        ("individual", "丙省", ["beneficiary.kind"]),
    ],
)
def test_makers_and_firms_from_elsewhere_are_a_matter_of_the_file(kind, region, failed):
    """Who may claim is a condition like any other: a maker without legal person, a firm of another province."""
    series = city(MAKERS, mode="auto_enjoy")
    assert result(decision(series, beneficiary__kind=kind, beneficiary__region=region))[2] == failed
