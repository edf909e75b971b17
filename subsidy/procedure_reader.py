"""Procedures as files, read strictly: every fault with file, line and what to write instead."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, TypeVar

from ledger.errors import Finding
from subsidy.errors import SubsidyError
from subsidy.fields import Faults, Fields
from subsidy.materials import Basis, Check, Material, Rule
from subsidy.policies import Policies
from subsidy.policy import Quote
from subsidy.procedure import Effect, Guard, Procedure, Role, State, Step
from subsidy.procedure_inputs import INPUTS
from subsidy.quotes import SourceText
from subsidy.yaml_text import read_yaml

Word = TypeVar("Word", bound=enum.Enum)


SchemeFacts = Mapping[str, Collection[str]]
"""Schemes that procedures may be for, by id, with the names of the facts that each knows."""


class _Rests(NamedTuple):
    """What the parts of a procedure rest on: the names of its facts and, for schemes, the source that parts inherit."""

    facts: Sequence[str]
    source: str = ""


def load_procedures(directory: Path, policies: Policies, schemes: SchemeFacts | None = None) -> dict[str, Procedure]:
    """Every `*.yaml` of `directory` by id, checked against the policies or schemes that they carry out.

    Raises:
        SubsidyError: `yaml-refused` or `document-malformed`.

    """
    paths = sorted(directory.glob("*.yaml"))
    read = [read_procedure(path.read_text("utf-8"), path.name, policies, schemes) for path in paths]
    return {procedure.id: procedure for procedure in read}


def read_procedure(text: str, source: str, policies: Policies, schemes: SchemeFacts | None = None) -> Procedure:
    """One procedure from YAML.

    Raises:
        SubsidyError: `yaml-refused` or `document-malformed`.

    """
    faults = Faults(source)
    root = Fields(faults, read_yaml(text, source), "")
    head = root.table("procedure")
    document, about, rests = _about(head, policies, schemes or {})
    materials = tuple(_material(fields, rests) for fields in root.tables("materials"))
    states = {state.id: state for state in map(_state, root.tables("states", required=True))}
    steps = {step.id: step for step in (_step(fields, states, rests) for fields in root.tables("steps", required=True))}
    root.done()
    procedure = Procedure(
        head.text("id"),
        head.integer("revision"),
        document,
        head.text("title_zh"),
        head.text("title_en"),
        about,
        head.integer("notice_working_days"),
        head.integer("rounds_per_year"),
        _basis(head, "round_basis", rests),
        _basis(head, "call_basis", rests),
        _basis(head, "material_basis", rests),
        _basis(head, "duplicate_basis", rests),
        materials,
        states,
        steps,
        sha256(text.encode()).hexdigest(),
    )
    head.done()
    _check_machine(faults, procedure)
    faults.raise_any()
    return procedure


def _about(head: Fields, policies: Policies, schemes: SchemeFacts) -> tuple[str, tuple[str, ...], _Rests]:
    """The document, what of it (clauses) or which schemes the procedure is for, and what its parts rest on."""
    if not head.has("schemes"):
        clauses = head.texts("clauses")
        _known(head, "clauses", clauses, policies.clause_names)
        return head.choice("document", tuple(policies.documents)), clauses, _Rests(tuple(policies.facts))
    named = head.texts("schemes")
    _known(head, "schemes", named, tuple(schemes))
    facts = tuple(dict.fromkeys(fact for name in named for fact in schemes.get(name, ())))
    return "", named, _Rests(facts, head.text("source"))


def _basis(fields: Fields, key: str, rests: _Rests) -> Basis:
    if rests.source:  # a scheme's: its own source, or that of the whole procedure
        return Basis(fields.text(key, rests.source), Quote("", ()))
    inner = fields.table(key)
    basis = Basis(inner.text("clause"), Quote(inner.text("quote"), (inner.integer("line"),)))
    inner.done()
    return basis


def _words(fields: Fields, key: str, words: type[Word]) -> tuple[Word, ...]:
    given = fields.texts(key, required=False)
    allowed = [word.value for word in words]
    _known(fields, key, given, allowed)
    return tuple(words(word) for word in given if word in allowed)


def _known(fields: Fields, key: str, given: Iterable[str], allowed: Sequence[str]) -> None:
    for word in given:
        if word not in allowed:
            listed = ", ".join(allowed)
            fields.fault(key, f"“{word}”应为其中之一：{listed}", f"{word!r} must be one of: {listed}")


def _material(fields: Fields, rests: _Rests) -> Material:
    required_when = fields.text("required_when", "") or None
    if required_when is not None:
        _known(fields, "required_when", (required_when,), rests.facts)
    material = Material(
        fields.text("id"),
        fields.text("zh"),
        fields.text("en"),
        _basis(fields, "basis", rests),
        required_when,
        fields.flag("optional", default=False),
        tuple(_check(inner, rests) for inner in fields.tables("checks")),
    )
    fields.done()
    return material


def _check(fields: Fields, rests: _Rests) -> Check:
    rule = Rule(fields.choice("rule", [rule.value for rule in Rule]))
    needs_values = rule in {Rule.ONE_OF, Rule.COVERS, Rule.EQUALS_FACTS}
    values = fields.texts("values") if needs_values else ()
    if rule is Rule.EQUALS_FACTS:
        _known(fields, "values", values, rests.facts)
    otherwise = fields.choice("otherwise", ("lacking", "person"), "lacking")
    check = Check(fields.text("field"), rule, values, otherwise == "person")
    fields.done()
    return check


def _state(fields: Fields) -> State:
    state = State(fields.text("id"), fields.text("zh"), fields.text("en"), fields.flag("final", default=False))
    fields.done()
    return state


def _step(fields: Fields, states: Mapping[str, State], rests: _Rests) -> Step:
    sources = fields.texts("from", required=False)
    target = fields.text("to", "") or None
    _known(fields, "from", sources, tuple(states))
    if target is not None:
        _known(fields, "to", (target,), tuple(states))
    takes, may_take = (fields.texts(key, required=False) for key in ("takes", "may_take"))
    _known(fields, "takes", (*takes, *may_take), INPUTS)
    words = {}
    if fields.has("words"):
        table = fields.table("words")
        words = {name: table.texts(name) for name in table.raw}
    needed = dict(fields.table("needs_facts").raw) if fields.has("needs_facts") else {}
    step = Step(
        fields.text("id"),
        fields.text("zh"),
        fields.text("en"),
        frozenset(sources),
        target,
        frozenset(_words(fields, "roles", Role)),
        fields.texts("apart_from", required=False),
        takes,
        may_take,
        words,
        needed,
        _words(fields, "guards", Guard),
        _words(fields, "effects", Effect),
        _basis(fields, "basis", rests),
        fields.text("reaches", ""),
        fields.flag("automatic", default=False),
    )
    if not sources and target is None:
        fields.fault("to", "开始的一步须写 to", "the step that begins needs `to`")
    fields.done()
    return step


def _check_machine(faults: Faults, procedure: Procedure) -> None:
    """What would leave an application stuck, or let one person do all: faults of the file as a whole."""
    if sum(step.begins for step in procedure.steps.values()) != 1:
        faults.add(faults.source, "应恰有一步没有 from（开始）", "exactly one step has no `from`: the one that begins")
    for step in procedure.steps.values():
        for zh, en in _step_faults(procedure, step):
            faults.add(faults.source, f"“{step.id}”{zh}", f"{step.id} {en}")
    reached = _reachable(procedure)
    for state in procedure.states.values():
        if state.id not in reached:
            faults.add(faults.source, f"状态“{state.id}”无法到达", f"the state {state.id} is never reached")
        elif not state.final and not procedure.next_steps(state.id):
            faults.add(
                faults.source,
                f"状态“{state.id}”之后没有步骤",
                f"no step follows the state {state.id}, and it is not final",
            )


def _step_faults(procedure: Procedure, step: Step) -> Iterator[tuple[str, str]]:
    if not step.roles:
        yield "没有 roles", "names no roles"
    for other in step.apart_from:
        if other not in procedure.steps:
            yield f"的 apart_from 中没有“{other}”这一步", f"is apart from {other}, which is no step"
    if any(procedure.states[source].final for source in step.sources if source in procedure.states):
        yield "接在终结状态之后", "follows a final state"
    if {Effect.COMMIT, Effect.PAY} & set(step.effects) and not step.apart_from:
        yield "动用资金，须写 apart_from", "moves money: it needs `apart_from`"
    if step.automatic != (Role.SERVICE in step.roles):
        yield "自动办理的步骤由 service 办理，别的不由它", "is for the role service if and only if it is automatic"
    if step.automatic and step.takes:
        yield "自动办理，不能要求填写", "is automatic: it can take nothing"
    if Effect.ISSUE in step.effects and not procedure.for_schemes:
        yield "发券，只在方案的流程中", "issues a voucher: only a procedure of schemes can"
    yield from _override_faults(procedure, step)
    if procedure.for_schemes and {Effect.PAY, Effect.DEMAND, Effect.RECOVER} & set(step.effects):
        yield "券的付款与追回由结算办理", "pays or recovers, which settlement does for vouchers"


def _override_faults(procedure: Procedure, step: Step) -> Iterator[tuple[str, str]]:
    """A cap is lifted with a sum, a decision and a reason, and by two persons."""
    asking = [one.id for one in procedure.steps.values() if Effect.ASK_OVERRIDE in one.effects]
    if Effect.ASK_OVERRIDE in step.effects:
        if Guard.OVERRIDE_PROVIDED not in step.guards or not {"amount_yuan", "basis", "reason"} <= set(step.takes):
            yield (
                "提出一事一议，须要 amount_yuan、basis、reason 与守卫 override_provided",
                "asks for a cap: it takes amount_yuan, basis and reason, under the guard override_provided",
            )
        if not procedure.for_schemes:
            yield "一事一议只在方案的流程中", "lifts a cap: only a procedure of schemes can"
    sound = Guard.OVERRIDE_ASKED in step.guards and asking and set(asking) <= set(step.apart_from)
    if Effect.OVERRIDE in step.effects and not sound:
        yield (
            "核准一事一议，须有守卫 override_asked，并由提出者以外的人办理（apart_from）",
            "confirms a cap: under the guard override_asked, apart from every step that asks for one",
        )


def _reachable(procedure: Procedure) -> set[str]:
    reached = {step.target for step in procedure.steps.values() if step.begins and step.target}
    size = -1
    while len(reached) > size:
        size = len(reached)
        reached |= {step.target for step in procedure.steps.values() if step.target and step.sources & reached}
    return reached


def quotes_of(procedure: Procedure) -> Iterator[tuple[str, Basis]]:
    """Every quote of a procedure with the place that cites it; one of schemes quotes nothing."""
    if procedure.for_schemes:
        return
    yield f"{procedure.id} round_basis", procedure.round_basis
    yield f"{procedure.id} call_basis", procedure.call_basis
    yield f"{procedure.id} material_basis", procedure.material_basis
    yield f"{procedure.id} duplicate_basis", procedure.duplicate_basis
    for material in procedure.materials:
        yield f"{procedure.id} {material.id}", material.basis
    for step in procedure.steps.values():
        yield f"{procedure.id} {step.id}", step.basis


def check_procedure_text(procedure: Procedure, text: bytes) -> list[Finding]:
    """Quotes that do not stand on their line of the source text (UTF-8) of the procedure's document."""
    source = SourceText(text.decode("utf-8", errors="replace"))
    return [
        Finding(
            "quote-not-found",
            f"原文第 {line} 行没有“{basis.quote.text}”",
            f"line {line} of the text does not say {basis.quote.text!r}",
            place,
        )
        for place, basis in quotes_of(procedure)
        for line in basis.quote.lines
        if line not in source.lines_of(basis.quote.text)
    ]


def procedure_named(procedures: Mapping[str, Procedure], name: str) -> Procedure:
    """A procedure by id.

    Raises:
        SubsidyError: `procedure-unknown`.

    """
    found = procedures.get(name)
    if found is None:
        listed = ", ".join(procedures)
        raise SubsidyError(
            "procedure-unknown",
            f"没有流程“{name[:40]}”，现有：{listed}",
            f"there is no procedure {name[:40]!r}; there are: {listed}",
        )
    return found
