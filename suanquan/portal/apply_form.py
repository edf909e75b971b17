"""The questions of an application for a voucher, one thing per page: what each page asks, and what was typed as it is submitted.

The pages follow the procedure's materials and the scheme's open questions; one definition serves every page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from ledger.errors import DomainError, Finding
from suanquan.portal.apply_text import TEXTS
from suanquan.portal.material_fields import FLAGS, YES_NO, asks_of, is_contract, material_of
from suanquan.service import Service
from suanquan.use_cases.application_faults import application_faults
from suanquan.use_cases.applications import Round
from suanquan.use_cases.catalogue import find_scheme, quote
from subsidy.materials import Checked, Material, Submitted, Verdict, check_materials
from subsidy.unit import YUAN, Unit

CONTRACT = ("number", "provider", "signed_on", "starts_on", "ends_on")
CALL, CHECK = "call", "check"
"""The first page, which chooses the round, and the last one, which shows every answer."""


class Form(NamedTuple):
    """What the form of one round and scheme asks for."""

    round: Round
    clause: str
    unit: Unit
    facts: list[str]
    today: date
    version: str
    """Of the round as the page shows it."""

    @property
    def asks(self) -> bool:
        """Whether the applicant says how much it asks for."""
        first = next(step for step in self.round.procedure.steps.values() if step.begins)
        return YUAN.said in {*first.takes, *first.may_take}

    @property
    def materials(self) -> tuple[Material, ...]:
        """The materials that the procedure names."""
        return tuple(self.round.procedure.materials)


class Field(NamedTuple):
    """Something that is typed or chosen: `kind` is `text`, `date`, `file` or `choice` of yes and no."""

    name: str
    label: str
    kind: str = "text"
    required: bool = False
    hint: str = ""


class Page(NamedTuple):
    """One thing that is asked."""

    name: str
    title: str
    fields: tuple[Field, ...] = ()


class Walk(NamedTuple):
    """An applicant on its way through the pages, with all that it has typed so far."""

    form: Form
    pages: tuple[Page, ...]
    typed: Mapping[str, str]
    applicant: str

    def at(self, name: str) -> int:
        """The number of a page; the first question where nobody knows the name."""
        return next((at for at, page in enumerate(self.pages) if page.name == name), 1)

    def elsewhere(self, at: int) -> dict[str, str]:
        """What was typed on the other pages."""
        names = [field.name for page in self.pages if page is not self.pages[at] for field in page.fields]
        return {name: said for name in names if (said := self.typed.get(name))}

    def at_fault(self, problems: Mapping[str, str], upto: int) -> int | None:
        """The first page, up to one, that something is wrong on; what belongs to no field is said where all answers are shown."""
        for at, page in enumerate(self.pages[: upto + 1]):
            if self.of_page(problems, at) or (page.name == CHECK and problems):
                return at
        return None

    def of_page(self, problems: Mapping[str, str], at: int) -> dict[str, str]:
        """The problems of a page's fields, in the order of the fields; of the last page, whatever belongs to no field."""
        page, names = self.pages[at], [field.name for each in self.pages for field in each.fields]
        if page.name == CHECK:
            rest = [text for name, text in problems.items() if name not in names]
            return {"send": "；".join(rest)} if rest else {}
        return {field.name: problems[field.name] for field in page.fields if field.name in problems}


def pages_of(form: Form, language: str) -> tuple[Page, ...]:
    """Every page of a form, in the order in which they are asked."""
    t = TEXTS[language]
    return (
        Page(CALL, t["ask_call"]),
        Page("company", t["ask_company"], (Field("applicant_name", t["applicant_name"], required=True), *_facts_of(form, t))),
        Page("project", t["ask_project"], (Field("project", t["project_name"], required=True, hint=t["project_hint"]),)),
        Page("contract", t["ask_contract"], _contract_of(t)),
        Page("amount", t["ask_amount"], _amounts_of(form, t)),
        *(_material_page(one, language) for one in form.materials),
        Page(CHECK, t["ask_check"]),
    )  # fmt: skip


def _facts_of(form: Form, t: Mapping[str, str]) -> list[Field]:
    chosen = {name for name in form.facts if name.startswith("beneficiary.related") or name.endswith("startup")}
    return [Field(name, t.get(f"fact_{name}", name), "choice" if name in chosen else "text") for name in form.facts]


def _contract_of(t: Mapping[str, str]) -> tuple[Field, ...]:
    fields = [
        Field(f"contract.{name}", t[f"contract_{name}"], "date" if name.endswith("_on") else "text", required=True)
        for name in CONTRACT
    ]
    return (*fields, Field("contract.sha256", t["contract"], "file"))


def _amounts_of(form: Form, t: Mapping[str, str]) -> tuple[Field, ...]:
    first = Field("contract.yuan", t["contract_yuan"], required=True, hint=t["yuan_hint"])
    asked = Field("amount", f"{t['asked_amount']} ({t[f'unit_{form.unit.code}']})")
    return (first, asked) if form.asks else (first,)


def _material_page(one: Material, language: str) -> Page:
    t, name, key = TEXTS[language], one.en if language == "en" else one.zh, f"material.{one.id}"
    file = [] if is_contract(one) else [Field(key, name, "file")]
    flags = [Field(f"{key}.{flag}", t[flag], "choice") for flag in FLAGS]
    asked = [
        Field(f"{key}.{field}", t.get(f"field_{field}", field), "choice" if kind == "yes_no" else "text", hint=", ".join(words))
        for field, kind, words in asks_of(one)
    ]  # fmt: skip
    return Page(key, name, (*file, *flags, *asked))


def body_of(walk: Walk) -> dict[str, Any]:
    """The application as it is submitted."""
    form, typed = walk.form, walk.typed
    contract: dict[str, Any] = {name: typed.get(f"contract.{name}", "") for name in (*CONTRACT, "sha256")}
    contract["items"] = [{"kind": "compute", "amount_yuan": typed.get("contract.yuan", "")}]
    asked = {form.unit.said: typed["amount"]} if form.asks and typed.get("amount") else {}
    in_kind = {} if form.unit is YUAN else {"unit": form.unit.code}
    return {
        **asked,
        **in_kind,
        "round": form.round.id,
        "scheme": form.clause,
        "applicant": walk.applicant,
        "applicant_name": typed.get("applicant_name", ""),
        "project": typed.get("project", ""),
        "facts": _facts(form, typed),
        "contract": contract,
        "materials": [sent for one in form.materials if (sent := material_of(one, typed, walk.applicant)) is not None],
    }


def _facts(form: Form, typed: Mapping[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name in form.facts:
        if said := typed.get(name, ""):
            first, _, rest = name.partition(".")
            facts.setdefault(first, {})[rest] = YES_NO.get(said, said)
    return facts


def faults_of(service: Service, walk: Walk, body: Mapping[str, Any], language: str) -> dict[str, str]:
    """What is malformed, in words, by the field that it is about."""
    found = application_faults(service.proceedings, walk.form.round, walk.form.unit, body)
    return problems_of(found, [one["id"] for one in body["materials"]], language)


def problems_of(found: Sequence[Finding], sent: list[str], language: str) -> dict[str, str]:
    """Each finding by the field that it is about, in the order found; `sent` are the materials as they were given."""
    problems: dict[str, str] = {}
    for one in found:
        problems.setdefault(_field(one.where, sent), one.en if language == "en" else one.zh)
    return problems


def _field(where: str, sent: list[str]) -> str:
    parts = where.strip("/").split("/")
    if parts[0] == "contract":
        return "contract.yuan" if parts[1:2] == ["items"] else ".".join(parts[:2])
    if parts[0] == "materials" and len(parts) > 1 and parts[1].isdigit() and int(parts[1]) < len(sent):
        return ".".join(["material", sent[int(parts[1])], *parts[2:3]]).removesuffix(".sha256")
    if parts[0] == "facts":
        return ".".join(parts[1:])
    return "amount" if parts[0] in {YUAN.said, "amount"} else parts[0]


def precheck(service: Service, walk: Walk, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the scheme says of a first claim of the year, as far as it is told: status, amount and each step. Nothing is recorded."""
    contract, form = body["contract"], walk.form
    days = {name: contract[name] for name in ("signed_on", "starts_on", "ends_on") if contract[name]}
    facts = {**body["facts"], "contract": {**days, "prior_claims": 0}, "year_to_date": {"claimed_yuan": "0"}}
    if contract["items"][0]["amount_yuan"]:
        facts["cost_items"] = contract["items"]
    try:
        return quote(find_scheme(service.catalog.series, form.clause), facts, form.today)
    except DomainError as error:
        return {"status": "malformed", "findings": [*error.findings] or [Finding(error.code, error.zh, error.en)]}


def incomplete(walk: Walk, body: Mapping[str, Any]) -> list[Checked]:
    """Materials that will have to be supplemented, or that a person must look at, as they stand."""
    given = {one["id"]: one for one in body["materials"]}
    facts = {f"{first}.{name}": said for first, rest in body["facts"].items() for name, said in rest.items()}
    asked = Submitted(walk.applicant, walk.form.today.year, given, (), facts, body["contract"])
    return [
        one for one in check_materials(walk.form.materials, asked) if one.verdict in {Verdict.LACKING, Verdict.PERSON}
    ]
