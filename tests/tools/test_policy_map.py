"""docs/policy-map.md is what its tool writes of the rules, and names tests and pages that there are."""

import importlib.util
import re

from suanquan.http.app import PAGE_PATHS
from subsidy.policies import load_policies
from tests.shared_data import ROOT


def test_the_map_is_what_the_rules_say():
    """Written anew, it is the same; every clause is on it with rows that show what it decides."""
    policies = load_policies(ROOT / "config" / "policies")
    spec = importlib.util.spec_from_file_location("build_policy_map", ROOT / "tools/build_policy_map.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = (ROOT / "docs/policy-map.md").read_text("utf-8")
    assert page == tool.page_of(policies), "run python tools/build_policy_map.py"
    told = dict(re.findall(r"^\| `([^`]+)` \|.*\| (\d+) \| [^|]*\|$", page, re.MULTILINE))
    assert told.keys() == policies.clauses.keys()
    assert all(int(rows) > 0 for rows in told.values())
    assert all((ROOT / path).exists() for path in re.findall(r"`(tests/[\w/]+\.py)`", page))
    pages = set(re.findall(r"`(/[\w/{}]*)`", page))
    assert pages <= {re.sub(r"\{\w+\}$", "{id}", path) for path in PAGE_PATHS}
