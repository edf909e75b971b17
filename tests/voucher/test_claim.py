"""Facts of a claim: read strictly, refused with their place, and mentioned where no rule reads them."""

from datetime import date

import pytest

from tests.voucher.claims import FACTS, SHIPPED, bill, facts
from voucher.scheme_cases import answer

BEIJING = SHIPPED["cn-bj-ai-compute-2023"]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"cost_items": bill("1e3")}, "cost_items"),
        ({"cost_items": bill(1.5)}, "cost_items"),
        ({"cost_items": bill("-1")}, "cost_items"),
        ({"cost_items": bill("1", "storge")}, "cost_items"),
        ({"cost_items": "1000"}, "cost_items"),
        ({"cost_items": [{"kind": "compute"}]}, "cost_items"),
        ({"cost_items": bill("1") * 1001}, "cost_items"),
        ({"contract__signed_on": "2024-2-1"}, "contract"),
        ({"beneficiary__related_to_provider": "no"}, "beneficiary"),
        ({"beneficiary__region": "北" * 61}, "beneficiary"),
        ({"beneficiary__region": 3}, "beneficiary"),
        ({"year_to_date": 3}, "year_to_date"),
        ({"year_to_date__claimed_yuan": True}, "year_to_date"),
        ({"override": {"cap_yuan": "1"}}, "override"),
        ({"extra": {str(number): 1 for number in range(201)}}, ""),
    ],
)
def test_facts_that_cannot_be_used_get_no_decision(changes, where):
    """The place is named, with what to write instead."""
    decided, findings = answer(BEIJING, facts(**changes), date(2024, 3, 1), str)
    assert decided is None
    assert {finding.where.partition("/")[0] for finding in findings} == {where}


def test_a_fact_that_no_rule_reads_is_mentioned():
    """A misspelt fact is missing under its right name, and the near one is suggested."""
    decided, findings = answer(
        BEIJING, facts(beneficiary__regoin="北京市", beneficiary__region=None), date(2024, 3, 1), str
    )
    assert decided.missing == ("beneficiary.region",)
    assert [finding.code for finding in findings] == ["fact-unknown"]
    assert "beneficiary.region" in findings[0].en
    assert FACTS["beneficiary"]["region"]
