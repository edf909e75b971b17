"""Claims and small schemes for the tests of decisions: a claim that every shipped scheme accepts, and cities made of a few lines."""

import copy
import tomllib
from datetime import date
from fractions import Fraction

from tests.shared_data import ROOT
from voucher.figure import yuan_text
from voucher.scheme_cases import answer
from voucher.scheme_reader import load_series, parse_series
from voucher.scheme_schema import PARAMETERS

SHIPPED = load_series(ROOT / "config/schemes")

FACTS = {
    "beneficiary": {
        "kind": "enterprise",
        "region": "北京市海淀区",
        "sector": "软件信息服务业",
        "independent_legal_person": True,
        "years_without_dishonesty_record": 3,
        "years_without_major_penalty": 3,
        "related_to_provider": False,
        "same_cost_subsidised_elsewhere": False,
    },
    "provider": {"admitted": True},
    "contract": {
        "signed_on": "2024-02-01",
        "starts_on": "2024-02-01",
        "ends_on": "2025-01-31",
        "prior_claims": 0,
    },
    "cost_items": [{"kind": "compute", "amount_yuan": "1000000"}],
    "purpose": "model_training",
    "year_to_date": {"claimed_yuan": "0", "redeemed_yuan": "0"},
}


def facts(**changes):
    """The facts above with dotted ones changed (`beneficiary__region="…"`); None removes one."""
    changed = copy.deepcopy(FACTS)
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        table = changed
        for name in path:
            table = table.setdefault(name, {})
        if value is None:
            table.pop(last, None)
        else:
            table[last] = value
    return changed


def bill(yuan, kind="compute"):
    """One item."""
    return [{"kind": kind, "amount_yuan": yuan}]


def decision(series, on="2024-03-01", **changes):
    """The decision on the facts, changed."""
    found, findings = answer(series, facts(**changes), date.fromisoformat(on), str)
    assert not findings
    return found


HEAD = """
id = "{id}"
name_zh = "测试市算力券"
name_en = "Compute voucher of a test city"
authority = "测试市"
[sources]
notice = "测试市通知"
[[version]]
version = "1"
status = "{status}"
from = "open"
to = "open"
decisive_date = "application.received_on"
claim_mode = "{mode}"
currency = "CNY"
denomination = ["CNY_FACE"]
source = "notice"
none = {none}
unknown = []
"""


def city_text(body, *, name="cn-test-city", status="usable", mode="post_use_direct", top=""):
    """The file of a city: what `body` does not fix, its text is said not to fix."""
    head = top + HEAD.format(id=name, status=status, mode=mode, none="[]")
    given = _given(tomllib.loads(head + body)["version"][0])
    none = ", ".join(f'"{name}"' for name in PARAMETERS if name not in given)
    return head.replace("none = []", f"none = [{none}]") + body


def _given(version):
    given = set()
    for name, parameter in PARAMETERS.items():
        for place in parameter.places:
            section, _, key = place.partition(".")
            value = version.get(section)
            if value is not None and (not key or (isinstance(value, dict) and key in value)):
                given.add(name)
    return given


def city(body, **options):
    """The scheme of such a city."""
    return parse_series(city_text(body, **options).encode(), "city.toml")


def result(decided):
    """Status, yuan and what bound or refused it."""
    amount = None if decided.amount_fen is None else yuan_text(Fraction(decided.amount_fen))
    return decided.status.value, amount, [*decided.limits, *(failure.id for failure in decided.failed)]
