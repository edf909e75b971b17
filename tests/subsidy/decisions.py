"""A desk that decides by the policies of the repository, and orders to decide."""

import datetime as dt

from ledger.ed25519 import PublicKey
from suanquan.home import Home
from suanquan.use_cases.decision_office import DecisionDesk
from suanquan.use_cases.decisions import Application, Order
from subsidy.policies import policy_texts, read_policies
from subsidy.ruling import Ruling, Verdict
from tests.shared_data import ROOT
from voucher.keys import KeyRegistry

ISSUER = "urn:suanquan:test"
NAME, USCC = "上海喆堃科技有限公司", "91350100M000100Y43"
RACKS = {
    "centre_meets_clause_1_1_definition": True,
    "racks_upgraded_in_this_single_project": 2001,
    "compute_rack_share_after_upgrade": "0.7001",
    "pue_after_upgrade": "1.2499",
    "one_off_upgrade_subsidy_already_received": False,
    "project_received_national_or_municipal_support": False,
    "project_district_matching_funds_paid": False,
    "project_supported_under_other_industrial_policy": False,
}
"""A retrofit that gets 2,000,000 yuan, exactly."""
LOAN = {"company_is_large_model_or_generative_ai_related": True, "company_size": "small", "has_loan_need": True}
"""A company that may get terms of another policy, which a person must confirm."""
DAY = dt.date(2025, 9, 1)


def decision_desk(private, home=ROOT / "no-home"):
    """A desk that signs with this key; its policies and remedies are those that ship."""
    public = PublicKey.of(private)
    registry = KeyRegistry(ISSUER).announced(public).activated(public.kid)
    return DecisionDesk(Home(home), ISSUER, registry, private.sign)


def application(clause, facts, **changes):
    return Application(NAME, USCC, "智算中心提档升级项目", clause, DAY, facts)._replace(**changes)


def refusal(key, corrects=None, reason="未形成解决方案"):
    """Nothing was achieved, so nothing is granted."""
    asked = application("323:(五)", {"solution_formed": False})
    return Order(asked, Ruling(Verdict.REFUSE, reason), "李四", key, corrects)


def grant(key, facts=(), corrects=None, **ruling):
    """A retrofit of 2001 racks."""
    asked = application("323:(二)1", RACKS | dict(facts))
    return Order(asked, Ruling(Verdict.GRANT, "符合全部条件", **ruling), "李四", key, corrects)


def policies_at(folder):
    """The documents of a folder, as texts and as rules."""
    texts = policy_texts(folder)
    return texts, read_policies(texts)
