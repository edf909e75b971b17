"""The acceptance cases of both documents, and of public notices."""

from datetime import date

import yaml

from subsidy.calendar import publicity
from subsidy.cases import evaluate_case, read_cases
from subsidy.explain import summary
from tests.shared_data import SHARED, needs_shared

CASES = SHARED / "cases" / "clauses.yaml"
COMPARED = ("status", "eligible", "amount_yuan", "amount_kind", "cap_hit", "needs_human")
INFORMATIVE = ("cap_yuan", "amount_fen", "amount_range_yuan")

pytestmark = needs_shared


def test_every_case_is_answered_as_expected(policies):
    """Status, eligibility, amount, cap, person and missing facts are those of the cases; so are the figures they give besides."""
    text = CASES.read_text(encoding="utf-8")
    expected = {case["id"]: case["expect"] for case in yaml.safe_load(text)["cases"]}
    differences = {}
    for case in read_cases(policies, text, CASES.name):
        said, wanted = summary(evaluate_case(policies, case)), expected[case.id]
        names = (*COMPARED, *(name for name in INFORMATIVE if name in wanted))
        difference = {name: (said[name], wanted[name]) for name in names if said[name] != wanted[name]}
        if said["missing_facts"] != wanted.get("missing_facts", []):
            difference["missing_facts"] = said["missing_facts"]
        if difference:
            differences[case.id] = difference
    assert len(expected) >= 156
    assert not differences


def test_every_public_notice_ends_as_expected(calendar):
    """The last day of a notice and the next step follow the State Council's calendar, or are left to a person."""
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))["publicity_cases"]
    assert len(cases) >= 12
    for case in cases:
        period = publicity(calendar, date.fromisoformat(case["posted_on"]), case["min_working_days"])
        said = [period.last_publicity_day, period.earliest_next_step]
        wanted = [case["expect"]["last_publicity_day"], case["expect"]["earliest_next_step"]]
        assert [day and day.isoformat() for day in said] == wanted, case["id"]
        assert period.needs_human is case["expect"]["needs_human"]
