"""An application for a voucher of the sandbox scheme as a company writes it, and the steps that take it to its voucher."""

from subsidy.procedure import Role
from subsidy.steps import Actor
from tests.subsidy.procedure_samples import COMPANY, HE, LIN, QIAN, SUN, ZHOU

SCHEME = "cn-sh-songjiang-sandbox"
PROCEDURE = "voucher-sandbox"
APPLICANT = COMPANY.person
OTHER = "91310000MA1K35QN0G"
CENTRE = "91310117MA1J00001X"
CALL = {
    "procedure": PROCEDURE,
    "title": "2025 年算力券第一轮",
    "budgets": {SCHEME: "300000.00"},
    "opens": "2025-09-01",
    "closes": "2025-09-10",
}
EXPERT = Actor("专家组", Role.REVIEWER)
BALANCED = "2025-09-11T09:00:00+08:00"
POSTED = "2025-09-15T10:00:00+08:00"
OVER = "2025-09-23T09:00:00+08:00"
CONTRACT_SHA256 = "ab" * 32
FACTS = {
    "beneficiary": {"kind": "enterprise", "startup": False, "related_to_provider": False},
}
REVIEW = [
    (LIN, "pass_preliminary_review", {"opinion": "材料齐全"}),
    (EXPERT, "record_review", {"method": "experts", "opinion": "通过", "score": "86.5"}),
]
PLAN = (QIAN, "include_in_plan", {"amount_yuan": "100000.00", "basis": "办公会纪要 2025-9"})
LIST = (HE, "agree_list", {"opinion": "同意"})
POST = (QIAN, "post_notice", {"address": "https://notice.example.cn/v/1"})
APPROVE = (SUN, "approve", {"basis": "批复 2025-3"})
PROGRESS = (ZHOU, "accept_progress_report", {"reference": "进展报告 1", "opinion": "认可"})


def contract(number="HT-2025-001", **changes):
    """A contract for 200,000 yuan of compute and some storage."""
    return {
        "number": number,
        "provider": CENTRE,
        "sha256": CONTRACT_SHA256,
        "signed_on": "2025-08-20",
        "starts_on": "2025-09-01",
        "ends_on": "2026-08-31",
        "items": [{"kind": "compute", "amount_yuan": "200000"}, {"kind": "storage", "amount_yuan": "5000"}],
    } | changes


def materials(applicant=APPLICANT, without=()):
    """The materials as they should be."""
    fields = {
        "application_form": {},
        "business_licence_copy": {"registration_number": applicant},
        "service_contract": {"sha256": CONTRACT_SHA256},
        "credit_report": {"bad_record": False},
    }
    return [
        {"id": name, "sha256": f"{at:064x}", "sealed": True, "matches_original": True, **values}
        for at, (name, values) in enumerate(fields.items())
        if name not in without
    ]


def application(round_, applicant=APPLICANT, **changes):
    """An application of the sample company; `changes` are its members."""
    return {
        "round": round_,
        "scheme": SCHEME,
        "applicant": applicant,
        "applicant_name": "松江某某科技有限公司",
        "project": "行业模型训练",
        "facts": FACTS,
        "contract": contract(),
        "materials": materials(applicant),
    } | changes
