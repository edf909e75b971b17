"""The rows and checks notice nearly every small wrong change to the documents; what they miss changes nothing."""

import pytest

from subsidy.guards import load_guards, sharpness
from subsidy.policies import policy_texts
from subsidy.readings import resolve
from subsidy.yaml_text import read_yaml
from tests.conftest import ALL
from tests.shared_data import ROOT

FOLDER = ROOT / "config" / "policies"
CAUGHT_PER_MILLE_AT_LEAST = 980

SURVIVORS = {
    "quantities.adaptation_tier_yuan.is.tiers.2.when.ge -1": "with no industry at all the condition `tier_reached` refuses first",
    "clauses.323:(三).review becomes department": "(三) has a condition that opens it; how it is reviewed is only shown",
}
"""Changes that nothing notices, and why they change no answer."""


DOCUMENTS = sorted(path.name for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", DOCUMENTS if ALL else DOCUMENTS[:1])  # a proposal's test mutates the other as well
def test_wrong_changes_are_noticed(policies, name):
    """Bounds loosened or tightened, numbers nudged, conditions dropped, dates moved: at least 98 % are noticed, the rest listed."""
    tables = {name: read_yaml(text, name) for name, text in policy_texts(FOLDER).items()}
    found = sharpness(resolve(tables, {})[0], name, load_guards(policies, FOLDER / "cases"), lambda _: None)
    assert found.made > 200
    assert found.per_mille >= CAUGHT_PER_MILLE_AT_LEAST
    assert set(found.survivors) <= SURVIVORS.keys()
