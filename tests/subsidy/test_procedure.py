"""Procedures as data: read strictly, quoted truly, and run by a machine that knows none of them."""

from datetime import date, timedelta
from random import Random

import pytest

from subsidy.errors import SubsidyError
from subsidy.evaluate import evaluate
from subsidy.facts import read_facts
from subsidy.materials import Submitted, Verdict, check_materials
from subsidy.outcome import Status
from subsidy.procedure import Case, Effect, Guard, Procedure, Record, Role, after, with_inputs
from subsidy.procedure_guards import Asked, Setting, judged_by_clause
from subsidy.procedure_inputs import Reader
from subsidy.procedure_reader import check_procedure_text, read_procedure
from subsidy.register import Claim, ClaimKind, commit, commitments, live, normal, repeated, taken
from subsidy.steps import Actor, read_inputs, require_possible, take
from tests.conftest import ALL
from tests.shared_data import ROOT, SHARED, needs_shared
from tests.subsidy.procedure_samples import APPLICANT, CLAUSE, FACTS, materials

FILE = ROOT / "config/procedures/16-2025.yaml"
RECEIVED = date(2025, 9, 1)


@pytest.fixture(scope="module")
def procedure(policies) -> Procedure:
    return read_procedure(FILE.read_text("utf-8"), FILE.name, policies)


@needs_shared
def test_every_quote_stands_in_the_text(procedure):
    """Steps, materials and rounds quote document 16 word by word, on the line they name; a changed word is found."""
    text = (SHARED / "policy/16-2025.txt").read_bytes()
    assert check_procedure_text(procedure, text) == []
    faults = check_procedure_text(procedure, text.replace("加盖企业公章".encode(), "加盖单位公章".encode()))
    assert {fault.code for fault in faults} == {"quote-not-found"}


MALFORMED = [
    ("guards: [window]", "guards: [windows]", "window, materials"),
    ("effects: [claim]", "effects: [claims]", "claim, release"),
    ("roles: [applicant, department]", "roles: [mayor]", "applicant, department"),
    ("    to: approved\n", "    to: aproved\n", "'aproved' must be one of"),
    ("takes: [reason, until]", "takes: [reason, deadline]", "'deadline' must be one of"),
    ("apart_from: [agree_list, approve]", "apart_from: [agree_lists]", "agree_lists, which is no step"),
    ("    apart_from: [agree_list, approve]\n", "", "moves money: it needs `apart_from`"),
    ("final: true", "final: no", "true or false"),
    ("notice_working_days: 5", "notice_working_days: 5.0", "floats are refused"),
    ("rule: equals_applicant", "rule: same", "equals_applicant"),
    ("required_when: company_name_changed", "required_when: name_changed", "'name_changed' must be one of"),
    ('document: "16"', 'document: "17"', "must be one of: 323, 16"),
    ("    from: [approved]\n", "    from: [refused]\n", "pay follows a final state"),
    ("  - id: refuse\n", "  - id: refuse\n    price: 1\n", "there is no field `price`"),
]


@pytest.mark.parametrize(("right", "wrong", "says"), MALFORMED)
def test_a_malformed_file_is_refused(policies, right, wrong, says):
    """Unknown words, missing pairs of eyes and states without a way out: with the file, the line and what to write."""
    text = FILE.read_text("utf-8")
    assert right in text
    with pytest.raises(SubsidyError) as caught:
        read_procedure(text.replace(right, wrong, 1), "16-2025.yaml", policies)
    told = [f"{finding.where} {finding.en}" for finding in caught.value.findings]
    assert any(says in line for line in told), told
    assert all(line.startswith("16-2025.yaml") for line in told)


VOUCHER = """
procedure:
  id: voucher
  revision: 1
  document: "323"
  title_zh: 算力券申领
  title_en: Voucher applications
  clauses: ["323:(三)"]
  notice_working_days: 3
  rounds_per_year: 12
  round_basis: {clause: "323:(三)", quote: 每年度, line: 1}
  call_basis: {clause: "323:(三)", quote: 政府申领, line: 1}
  material_basis: {clause: "323:(三)", quote: 政府申领, line: 1}
  duplicate_basis: {clause: "323:附则", quote: 不予重复支持, line: 1}
materials:
  - {id: business_licence_copy, zh: 执照, en: licence, basis: {clause: "323:(三)", quote: 政府申领, line: 1}}
states:
  - {id: applied, zh: 已申领, en: applied}
  - {id: decided, zh: 已决定, en: decided}
  - {id: issued, zh: 已发券, en: issued, final: true}
steps:
  - id: apply
    zh: 申领
    en: Apply
    to: applied
    roles: [applicant]
    takes: [materials]
    effects: [claim]
    basis: {clause: "323:(三)", quote: 政府申领, line: 1}
  - id: decide
    zh: 决定
    en: Decide
    from: [applied]
    to: decided
    roles: [department]
    takes: [reason]
    guards: [materials]
    basis: {clause: "323:(三)", quote: 政府申领, line: 1}
  - id: issue
    zh: 发券
    en: Issue
    from: [decided]
    to: issued
    roles: [finance]
    apart_from: [decide]
    takes: [reference]
    effects: [commit]
    basis: {clause: "323:(三)", quote: 政府申领, line: 1}
"""


class Walk:
    """One application under a procedure, step by step, without a database."""

    def __init__(self, procedure, policies, calendar, clause):
        self.procedure, self.policies, self.calendar, self.clause = procedure, policies, calendar, clause
        self.case, self.today = Case(), RECEIVED
        self.records = []

    def take(self, person, role, name, given):
        step, actor = self.procedure.steps[name], Actor(person, role)
        require_possible(self.procedure, self.case, step, actor)
        inputs = read_inputs(step, Reader(self.policies.facts, self.procedure.materials), given)
        inputs = {"applicant": APPLICANT, **inputs} if step.begins else inputs
        case = with_inputs(self.case, step, inputs, self.today)
        facts, _ = read_facts(self.policies.facts, case.facts, str)
        submitted = Submitted(APPLICANT, RECEIVED.year, case.materials, case.costs, case.facts)
        setting = Setting(
            self.today,
            self.calendar,
            (RECEIVED, RECEIVED + timedelta(30)),
            check_materials(self.procedure.materials, submitted),
            judged_by_clause(evaluate(self.policies, self.clause, facts, RECEIVED)),
            self.procedure.notice_working_days,
        )
        record = take(Asked(self.procedure, step, inputs), self.case, actor, setting)
        self.case = after(self.procedure, self.case, record)
        self.records.append(record)


def test_another_procedure_runs_on_the_same_machine(policies, calendar):
    """A voucher scheme with three steps of its own: the same guards, roles and pairs of eyes, and no word of document 16."""
    voucher = read_procedure(VOUCHER, "voucher.yaml", policies)
    walk = Walk(voucher, policies, calendar, "323:(三)")
    walk.take(APPLICANT, Role.APPLICANT, "apply", {"materials": materials()[1:2]})
    with pytest.raises(SubsidyError, match="issue cannot follow"):
        walk.take("何", Role.FINANCE, "issue", {"reference": "1"})
    walk.take("林", Role.DEPARTMENT, "decide", {"reason": "符合"})
    with pytest.raises(SubsidyError, match="needs another person"):
        walk.take("林", Role.FINANCE, "issue", {"reference": "1"})
    walk.take("何", Role.FINANCE, "issue", {"reference": "1"})
    assert walk.case.state == "issued"
    assert [record.step for record in walk.records] == ["apply", "decide", "issue"]


PERSONS = [*"甲乙丙丁戊己庚", APPLICANT]
ASIDE = {"refuse", "withdraw", "uphold_objection", "return_for_materials", "record_objection"}
GIVEN = {
    "opinion": "可", "reason": "因", "basis": "据", "method": "experts", "amount_yuan": "1000", "address": "https://x.example",
    "objection": "异", "objection_number": 1, "reference": "1", "facts": {"project_completed": True},
    "costs": [{"issuer": "a", "document": "b", "yuan": "300000"}],
}  # fmt: skip


def given(step, random, today):
    chosen = {name: GIVEN[name] for name in step.takes if name in GIVEN}
    if "materials" in step.takes:
        chosen["materials"] = materials(without=[random.choice(["other", "other", "application_form"])])
    if "until" in step.takes:
        chosen["until"] = (today + timedelta(random.randrange(9))).isoformat()
    if step.begins:
        chosen["facts"] = FACTS
    if "objection_number" in chosen:
        chosen["objection_number"] = random.choice([1, 2])
    return chosen


def test_no_walk_breaks_the_rules(procedure, policies, calendar, seed):
    """Whatever anybody tries in any order: nobody approves or pays what he did, and nothing is paid early or under objection."""
    print(f"seed {seed}")
    paid = 0
    for number in range(400 if ALL else 60):
        random, walk = Random(f"{seed} {number}"), Walk(procedure, policies, calendar, CLAUSE)
        for _ in range(250):
            possible = procedure.next_steps(walk.case.state) if walk.case.state else [procedure.steps["submit"]]
            step = random.choice([*possible, *possible, *procedure.steps.values()])
            if step.id in ASIDE and random.random() < 0.9:
                continue
            before, person = walk.case, random.choice(PERSONS)
            role = random.choice([*sorted(step.roles, key=str) * 3, *Role])
            person = APPLICANT if role is Role.APPLICANT and random.random() < 0.9 else person
            try:
                walk.take(person, role, step.id, given(step, random, walk.today))
            except SubsidyError:
                assert walk.case is before
            else:
                check(walk, before, walk.records[-1], walk.case)
                paid += Effect.PAY in step.effects
            walk.today += timedelta(random.choice([0] * 20 + [1, 3]))
    assert paid, "the walks must reach what they are about"


def check(walk: Walk, before: Case, record: Record, now: Case):
    """What a step that was taken may not have broken."""
    step = walk.procedure.steps[record.step]
    assert before.state in (step.sources or {""})
    assert Role(record.role) in step.roles
    for other in step.apart_from:
        assert record.person not in before.persons.get(other, ())
    if {Effect.COMMIT, Effect.PAY} & set(step.effects):
        assert not before.open_objections
        assert now.notice_waived or complete_working_days(walk, record.day) >= 5
    if Effect.PAY in step.effects:
        assert now.paid == before.committed == before.amount
    assert 0 <= now.net_paid <= now.paid


def complete_working_days(walk: Walk, today: date) -> int:
    """Working days between the posting of the notice and today, counted one by one."""
    posted = next(record.day for record in walk.records if record.step == "post_notice")
    days = (posted + timedelta(at) for at in range(1, (today - posted).days))
    return sum(walk.calendar.is_working_day(day) is True for day in days)


def test_the_checks_agree_with_the_clause(procedure, policies, seed):
    """Complete by our checks of single materials is complete by clause 七, for any of them missing, unsealed or unlike."""
    print(f"seed {seed}")
    for number in range(300):
        random = Random(f"{seed} {number}")
        submitted = [item for item in materials() if random.random() < 0.95]
        for item in submitted:
            item["sealed"], item["matches_original"] = (random.random() < 0.98 for _ in range(2))
        facts = {"company_name_changed": random.random() < 0.1, "claims_honours": random.random() < 0.1}
        costs = [{"issuer": "a", "document": "b", "yuan": "300000"}]
        found = check_materials(
            procedure.materials, Submitted(APPLICANT, 2025, {item["id"]: item for item in submitted}, costs, facts)
        )
        complete = all(one.verdict is not Verdict.LACKING for one in found)
        told = facts | {
            "materials_submitted": [item["id"] for item in submitted],
            "all_sealed": all(item["sealed"] for item in submitted),
            "copies_match_originals": all(item["matches_original"] for item in submitted),
            "bad_credit_record_within_two_years": False,
            "on_severe_dishonesty_list": False,
        }
        known, faults = read_facts(policies.facts, told, str)
        assert not faults
        assert complete == (evaluate(policies, "16:七", known, RECEIVED).status is Status.ELIGIBLE), (submitted, facts)


CHECKS = [
    ("business_licence_copy", {"registration_number": "91310000MA1K35QN0G"}, Verdict.LACKING),
    ("town_street_preliminary_opinion_form", {"opinion": "disagree"}, Verdict.LACKING),
    ("two_year_credit_report", {"bad_record": True}, Verdict.PERSON),
    ("previous_year_audit_or_financial_statements", {"year": 2023}, Verdict.LACKING),
    ("previous_year_audit_or_financial_statements", {"year": "2024"}, Verdict.LACKING),
    ("project_situation_report", {"parts": ["background"]}, Verdict.LACKING),
    ("investment_detail_with_proof", {"total_yuan": "300000.01"}, Verdict.LACKING),
    ("investment_detail_with_proof", {"total_yuan": "300000.00"}, Verdict.MET),
    ("application_form", {"sealed": False}, Verdict.LACKING),
    ("application_form", {"matches_original": False}, Verdict.LACKING),
]


@pytest.mark.parametrize(("name", "change", "verdict"), CHECKS)
def test_each_material_is_checked(procedure, name, change, verdict):
    """One wrong field of one material is found there, cites its clause, and nothing else is at fault."""
    given_ = {item["id"]: item for item in materials(**{name: change})}
    costs = [{"issuer": "a", "document": "b", "yuan": "100000.5"}, {"issuer": "a", "document": "c", "yuan": "199999.5"}]
    found = check_materials(procedure.materials, Submitted(APPLICANT, 2025, given_, costs, FACTS))
    others = {one.verdict for one in found if one.material.id != name}
    assert others == {Verdict.MET, Verdict.NOT_NEEDED}
    [one] = [one for one in found if one.material.id == name]
    assert one.verdict is verdict
    assert all("16:七(" in finding.en for finding in one.findings)


def test_what_is_needed_only_sometimes(procedure):
    """Proof of a changed name and of honours: needed if so, and as long as nobody says."""
    given_ = {item["id"]: item for item in materials()}
    for facts, lacking in (
        ({"company_name_changed": False, "claims_honours": False}, set()),
        ({"company_name_changed": True, "claims_honours": False}, {"name_change_proof"}),
        ({}, {"name_change_proof", "honours_proof"}),
    ):
        costs = [{"issuer": "a", "document": "b", "yuan": "300000"}]
        found = check_materials(procedure.materials, Submitted(APPLICANT, 2025, given_, costs, facts))
        assert {one.material.id for one in found if one.verdict is Verdict.LACKING} == lacking


def keyed(text: bytes) -> bytes:
    return text[::-1]


def test_equal_things_meet_in_the_register():
    """However a name is spaced, cased, punctuated or widened; different ones do not meet, nor do parts that run together."""
    assert normal("存储系统 Ａ-1（二期）") == normal("存储系统a1二期")
    for kind in ClaimKind:
        assert commit(keyed, kind, "甲", "项目 A") == commit(keyed, kind, "甲", "项目a")
        assert commit(keyed, kind, "ab", "c") != commit(keyed, kind, "a", "bc")
    assert commit(keyed, ClaimKind.PROJECT, "a", "b") != commit(keyed, ClaimKind.COST, "a", "b")
    assert normal("——") != normal("……"), "a name of punctuation alone is kept"


def test_one_holds_a_commitment_at_a_time():
    """A claim holds until its own subject releases it; a cost twice in one claim is found."""
    costs = [{"issuer": "a", "document": "1"}, {"issuer": "A", "document": "１"}]
    wanted = commitments(keyed, "甲", "项目", costs)
    assert [one.place for one in repeated(wanted)] == ["/costs/1"]
    digest = wanted[0].digest
    rows = [
        Claim(1, digest, "project", "first", b"", 0),
        Claim(2, digest, "project", "stranger", b"", 1),
    ]
    assert [(one.place, claim.subject) for one, claim in taken(wanted, live(rows), "second")] == [("/project", "first")]
    assert taken(wanted, live(rows), "first") == []
    assert live([*rows, Claim(3, digest, "project", "first", b"", 1)]) == {}


def test_every_guard_and_effect_is_used(procedure, policies):
    """The closed sets hold nothing that the shipped procedures do not exercise."""
    sandbox = FILE.with_name("voucher-sandbox.yaml")
    scheme = {"cn-sh-songjiang-sandbox": ()}
    vouchers = read_procedure(sandbox.read_text("utf-8"), sandbox.name, policies, scheme)
    steps = [*procedure.steps.values(), *vouchers.steps.values()]
    assert {guard for step in steps for guard in step.guards} == set(Guard)
    assert {effect for step in steps for effect in step.effects} == set(Effect)


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        (
            "apart_from: [submit, supplement, propose_override]",
            "apart_from: [submit]",
            "apart from every step that asks",
        ),
        (
            "guards: [override_asked, override_provided]",
            "guards: [override_provided]",
            "under the guard override_asked",
        ),
        ("guards: [not_refused, override_provided]", "guards: [not_refused]", "under the guard override_provided"),
        ("takes: [amount_yuan, basis, reason]", "takes: [amount_yuan, basis]", "takes amount_yuan, basis and reason"),
    ],
)
def test_a_cap_is_lifted_by_two_persons_who_say_why(policies, right, wrong, says):
    """A procedure that lets one person do it, or without decision or reason, is not read."""
    file, scheme = FILE.with_name("voucher-sandbox.yaml"), {"cn-sh-songjiang-sandbox": ()}
    text = file.read_text("utf-8")
    assert right in text
    with pytest.raises(SubsidyError) as caught:
        read_procedure(text.replace(right, wrong, 1), file.name, policies, scheme)
    assert any(says in finding.en for finding in caught.value.findings)
