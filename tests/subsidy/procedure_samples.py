"""An application under 16 三(四) as a company writes it, whole, and the steps that take it to payment."""

from metering.instants import parse_instant
from subsidy.procedure import Role
from subsidy.steps import Actor

CLAUSE = "16:三(四)"
APPLICANT = "91350100M000100Y43"
PARTS = [
    "background", "main_content", "focus", "service_field", "total_investment", "technical_solution", "functions", "effect",
]  # fmt: skip
FACTS = {
    "applicant_registered_in_songjiang": True,
    "applicant_has_independent_civil_liability": True,
    "applicant_type": "enterprise",
    "files_tax_accounting_statements": True,
    "files_statistical_statements": True,
    "on_severe_dishonesty_list": False,
    "project_already_received_district_matching_or_award": False,
    "project_received_national_or_municipal_support": False,
    "project_supported_under_other_industrial_policy": False,
    "product_category": "operating_storage_system",
    "passed_crypto_security_test": True,
    "test_agency_state_recognised_xinchuang": True,
    "is_first_passing_test_of_this_product": True,
    "applicant_is_submitting_unit": True,
    "security_test_fee_yuan": 300_000,
    "company_name_changed": False,
    "claims_honours": False,
}
CALL = {
    "procedure": "16",
    "title": "2025 年度申报通知",
    "budgets": {CLAUSE: "1000000.00"},
    "opens": "2025-09-01",
    "closes": "2025-09-30",
}
CALLED = "2025-09-01T09:00:00+08:00"

FANG, LIN, QIAN, SUN, ZHOU = (Actor(name, Role.DEPARTMENT) for name in ("方", "林", "钱", "孙", "周"))
EXPERT = Actor("专家组", Role.REVIEWER)
HE, XU = Actor("何", Role.FINANCE), Actor("许", Role.FINANCE)
COMPANY = Actor(APPLICANT, Role.APPLICANT)
OFFICERS = (FANG, LIN, QIAN, SUN, ZHOU, EXPERT, HE, XU)

REVIEW = [
    (LIN, "pass_preliminary_review", {"opinion": "现场调研，材料齐全"}),
    (EXPERT, "record_review", {"method": "experts", "opinion": "通过", "score": "86.5"}),
    (QIAN, "include_in_plan", {"amount_yuan": "150000.00", "basis": "局长办公会纪要 2025-9"}),
    (HE, "agree_list", {"opinion": "同意列入"}),
]
POST = (QIAN, "post_notice", {"address": "https://notice.example.cn/2025/1"})
APPROVE = (SUN, "approve", {"basis": "批复 2025-3"})
PAY = (XU, "pay", {"reference": "ZF-2025-0001", "facts": {"project_completed": True}})


class Clock:
    """A clock that a test moves; it goes on by a microsecond each time it is read."""

    def __init__(self, text=CALLED):
        self.set(text)

    def set(self, text):
        self.text = text
        self._now_ns = parse_instant(text) * 1000

    def __call__(self):
        self._now_ns += 1000
        return self._now_ns


def materials(*, fee=300_000, without=(), **changes):
    """The materials as they should be; `changes` are fields by material."""
    fields = {
        "application_form": {},
        "business_licence_copy": {"registration_number": APPLICANT},
        "town_street_preliminary_opinion_form": {"opinion": "agree"},
        "two_year_credit_report": {"bad_record": False},
        "previous_year_audit_or_financial_statements": {"year": 2024},
        "project_situation_report": {"parts": PARTS},
        "investment_detail_with_proof": {"total_yuan": str(fee)},
        "award_condition_and_effect_proof": {},
    }
    found = {name: {**values, **changes.get(name, {})} for name, values in fields.items() if name not in without}
    return [
        {"id": name, "sha256": f"{at:064x}", "sealed": True, "matches_original": True, **values}
        for at, (name, values) in enumerate(found.items())
    ]


def application(round_, **changes):
    """An application of the sample company; `changes` are its members."""
    return {
        "round": round_,
        "clause": CLAUSE,
        "applicant": APPLICANT,
        "applicant_name": "松江某某科技有限公司",
        "project": "存储系统密码安全测试",
        "facts": FACTS,
        "materials": materials(),
        "costs": [{"issuer": "国家检测中心", "document": "发票 0001", "yuan": "300000"}],
    } | changes
