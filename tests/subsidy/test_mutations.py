"""The rows and checks notice nearly every small wrong change to the documents; what they miss changes nothing."""

import pytest

from subsidy.errors import SubsidyError
from subsidy.evaluate import evaluate
from subsidy.facts import read_facts
from subsidy.policies import assemble
from subsidy.yaml_text import read_yaml
from tests.shared_data import ROOT
from tests.subsidy.answers import agrees
from tests.subsidy.mutants import mutants
from tests.subsidy.rows import rows
from tests.subsidy.test_quotes import unquoted

FILES = {path.name: path for path in sorted((ROOT / "config" / "policies").glob("*.yaml"))}
CAUGHT_AT_LEAST = 98

SURVIVORS = {
    "quantities.adaptation_tier_yuan.is.tiers.2.when.ge -1": "with no industry at all the condition `tier_reached` refuses first",
    "clauses.323:(三).review becomes department": "(三) has a condition that opens it; how it is reviewed is only shown",
}
"""Changes that nothing notices, and why they change no answer."""


@pytest.mark.parametrize("name", FILES)
def test_wrong_changes_are_noticed(policies, name):
    """Bounds loosened or tightened, numbers nudged, conditions dropped, dates moved: at least 98 % are noticed, the rest listed."""
    tables = {name: read_yaml(path.read_text(encoding="utf-8"), name) for name, path in FILES.items()}
    answers = [(row, read_facts(policies.facts, row.facts, str)[0]) for row in rows(policies)]
    everything = list(mutants(tables[name]))
    survivors = {label for label, mutant in everything if not noticed({**tables, name: mutant}, answers)}
    assert len(everything) > 200
    assert 100 * len(survivors) <= (100 - CAUGHT_AT_LEAST) * len(everything)
    assert survivors <= SURVIVORS.keys()


def noticed(tables, answers):
    """Whether loading, a row, or the check of numbers against quotes notices a change."""
    try:
        policies = assemble(tables, dict.fromkeys(tables, ""))
    except SubsidyError:
        return True
    if any(unquoted(clause.benefit) for clause in policies.clauses.values()):
        return True
    return any(not agrees(evaluate(policies, row.clause, facts, row.on), row.answer) for row, facts in answers)
