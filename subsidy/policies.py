"""All policy documents together: which rule stands behind a clause on a given day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from ledger.errors import Kind
from subsidy.errors import SubsidyError
from subsidy.facts import Dictionary, Fact, Facts, Value
from subsidy.fields import nearest
from subsidy.operators import Condition, Measure, Quantity, Test, names_read
from subsidy.policy import Benefit, Clause, Document, Question, Requirement, Review
from subsidy.policy_check import check_together
from subsidy.policy_reader import read_document
from subsidy.readings import Reading, resolve
from subsidy.revisions import eras_of, refuse_file
from subsidy.yaml_text import Table, read_yaml


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides a clause on a day: its conditions and, while both live, those of the clause it carries out or that carries it out.

    The benefit is that of the most specific clause: implementing rules narrow, and loading refuses any that widen.
    `steps` compute the named quantities that are read, in order; `tests` are those of `requirements`, `asks` of `questions`,
    of which those at `withholding` leave no figure while they stand.
    """

    clause: Clause
    parts: tuple[Clause, ...]
    steps: tuple[tuple[str, Measure], ...]
    opening: Test | None
    requirements: tuple[Requirement, ...]
    tests: tuple[Test, ...]
    questions: tuple[Question, ...]
    asks: tuple[Test, ...]
    withholding: tuple[int, ...]
    benefit: Benefit


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a clause takes no application on a day, and the document on whose life that rests.

    `reason` is `document_not_yet_in_force`, `document_expired` or `implementing_rules_not_in_force`.
    """

    clause: Clause
    reason: str
    document: Document


@dataclass(frozen=True, slots=True)
class _Entry:
    """The rules of one clause: the documents that must live, the rule with each implementing document, and the rule without."""

    clause: Clause
    needed: tuple[Document, ...]
    carried_out: tuple[tuple[Document, Rule], ...]
    alone: Rule | Closed


class Policies:
    """The documents in use, their common dictionary of facts, and the rules made of their clauses."""

    def __init__(
        self,
        documents: tuple[Document, ...],
        readings: Mapping[str, Reading] = MappingProxyType({}),
        since: date = date.min,
        earlier: Policies | None = None,
    ) -> None:
        """`since` is the first day on which these revisions decide; before it the `earlier` ones do."""
        self.readings = readings
        self.since = since
        self.earlier = earlier
        self.documents = {document.id: document for document in documents}
        own = {name: fact for document in documents for name, fact in document.facts.items()}
        self.facts: Dictionary = own if earlier is None else {**earlier.facts, **own}
        self.quantities = {
            name: entry.quantity for document in documents for name, entry in document.quantities.items()
        }
        self.clauses = {clause.id: clause for document in documents for clause in document.clauses}
        self.telling: dict[str, tuple[Value, ...]] = {}
        """Kept by `subsidy.answers`: values of a fact that make a difference."""
        entries = {clause.id: self._entry(clause) for clause in self.clauses.values()}
        self._entries = {name: entry for entry in entries.values() for name in (entry.clause.id, *entry.clause.also)}

    @property
    def clause_names(self) -> tuple[str, ...]:
        """Every name that a clause answers to: its id and those it stands for (`16:七(三)` is answered by `16:七`)."""
        earlier = () if self.earlier is None else self.earlier.clause_names
        return tuple(dict.fromkeys((*self._entries, *earlier)))

    def eras(self) -> Iterator[Policies]:
        """These policies and those before them, newest first; each knows the revisions of its own time."""
        era: Policies | None = self
        while era is not None:
            yield era
            era = era.earlier

    def era(self, on: date) -> Policies:
        """The revisions that decide an application received on that day."""
        return next(era for era in self.eras() if on >= era.since)

    def rule(self, name: str, on: date) -> Rule | Closed:
        """What decides the clause for an application received on that day, or why none can be received.

        Raises:
            SubsidyError: `clause-unknown`.

        """
        if on < self.since and self.earlier is not None:
            return self.earlier.rule(name, on)
        entry = self._entries.get(name) or self._unknown(name)
        for document in entry.needed:
            if not document.in_force(on):
                reason = "document_not_yet_in_force" if on < document.first_day else "document_expired"
                return Closed(entry.clause, reason, document)
        for document, rule in entry.carried_out:
            if document.in_force(on):
                return rule
        return entry.alone

    def clause(self, name: str) -> Clause:
        """The clause of that name, as its newest revision has it.

        Raises:
            SubsidyError: `clause-unknown`.

        """
        era = next((era for era in self.eras() if name in era._entries), self)  # noqa: SLF001 -- of this class
        return (era._entries.get(name) or self._unknown(name)).clause  # noqa: SLF001

    def _unknown(self, name: str) -> NoReturn:
        zh, en = nearest(name, self.clause_names)
        raise SubsidyError(
            "clause-unknown", f"没有“{name}”这一条{zh}", f"there is no clause {name}{en}", kind=Kind.NOT_FOUND
        )

    def _entry(self, clause: Clause) -> _Entry:
        document = self.documents[clause.document]
        higher = self.clauses.get(clause.implements or "")
        lower = [other for other in self.clauses.values() if other.implements == clause.id]
        alone: Rule | Closed = self._rule(clause, (higher, clause) if higher else (clause,))
        if clause.review is Review.IMPLEMENTING_RULES and clause.opens_when is None:
            alone = Closed(clause, "implementing_rules_not_in_force", document)
        return _Entry(
            clause=clause,
            needed=(document, self.documents[higher.document]) if higher else (document,),
            carried_out=tuple((self.documents[other.document], self._rule(clause, (clause, other))) for other in lower),
            alone=alone,
        )

    def rules(self) -> Iterator[Rule]:
        """Every rule that `rule` can return from the day `since`."""
        for entry in {id(entry): entry for entry in self._entries.values()}.values():
            yield from (rule for _, rule in entry.carried_out)
            if isinstance(entry.alone, Rule):
                yield entry.alone

    def _rule(self, clause: Clause, parts: tuple[Clause, ...]) -> Rule:
        benefit, opening = parts[-1].benefit, clause.opens_when
        requirements = tuple(requirement for part in parts for requirement in part.requirements)
        if opening is not None:
            requirements = (opening, *requirements)
        asked = [question for part in parts for question in part.questions]
        questions = tuple({question.id: question for question in (*asked, *benefit.questions)}.values())
        rule = Rule(
            clause=clause,
            parts=parts,
            steps=(),
            opening=None if opening is None else opening.condition.test,
            requirements=requirements,
            tests=tuple(requirement.condition.test for requirement in requirements),
            questions=questions,
            asks=tuple(_always if question.when is None else question.when.test for question in questions),
            withholding=tuple(at for at, question in enumerate(questions) if question.withholds_amount),
            benefit=benefit,
        )
        return replace(rule, steps=self._steps(nodes_of(rule)))

    def _steps(self, nodes: Sequence[Condition | Quantity]) -> tuple[tuple[str, Measure], ...]:
        """The named quantities that `nodes` read, directly or through one another; a file defines them in order of use."""
        read = {name for node in nodes for name in names_read(node)}
        return tuple((name, quantity.value) for name, quantity in self.quantities.items() if name in read)

    def facts_read(self, rule: Rule) -> dict[str, Fact]:
        """The facts that a rule reads, in the order in which its conditions first name them."""
        names = [name for node in nodes_of(rule) for name in names_read(node)]
        return {name: self.facts[name] for name in dict.fromkeys(names) if name in self.facts}


def nodes_of(rule: Rule) -> list[Condition | Quantity]:
    """Everything in a rule that reads facts."""
    nodes: list[Condition | Quantity] = [requirement.condition for requirement in rule.requirements]
    nodes += [quantity for quantity in (rule.benefit.of, rule.benefit.cap) if quantity is not None]
    nodes += [question.when for question in rule.questions if question.when is not None]
    nodes += [gift.when for gift in rule.benefit.gifts]
    return nodes


def _always(_facts: Facts) -> bool:
    return True


def load_policies(directory: Path, readings: Mapping[str, str] = MappingProxyType({})) -> Policies:
    """Every `*.yaml` of `directory`, under other readings than those taken where `readings` names one.

    Raises:
        SubsidyError: `policies-missing`, `yaml-refused`, `document-malformed` or `reading-unknown`.

    """
    return read_policies(policy_texts(directory), readings)


def policy_texts(directory: Path) -> dict[str, str]:
    """The text of every policy file of `directory` by its name.

    Raises:
        SubsidyError: `policies-missing`.

    """
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.yaml"))}
    if not texts:
        raise SubsidyError(
            "policies-missing", f"{directory} 中没有政策文件", f"there are no policy documents in {directory}"
        )
    return texts


def read_policies(texts: Mapping[str, str], readings: Mapping[str, str] = MappingProxyType({})) -> Policies:
    """The documents whose YAML `texts` holds by file name.

    Raises:
        SubsidyError: `yaml-refused`, `document-malformed` or `reading-unknown`.

    """
    tables = {name: read_yaml(text, name) for name, text in texts.items()}
    return assemble(tables, {name: sha256(text.encode()).hexdigest() for name, text in texts.items()}, readings)


def assemble(
    tables: Mapping[str, Table], digests: Mapping[str, str], readings: Mapping[str, str] = MappingProxyType({})
) -> Policies:
    """The documents that `tables` hold by file name; higher documents are read before those that implement them.

    Files with the same document id are its revisions: each decides from the day that its `effective_from` names.

    Raises:
        SubsidyError: `document-malformed` or `reading-unknown`.

    """
    policies: Policies | None = None
    for since, names in eras_of(tables):
        present, register = resolve({name: tables[name] for name in names}, readings)
        documents = _read_together(present, digests)
        if policies is not None:
            _require_same_facts(policies.facts, documents.values())
        policies = Policies(tuple(documents.values()), register, since, policies)
    assert policies is not None
    return policies


def _require_same_facts(before: Dictionary, documents: Iterable[Document]) -> None:
    """The newest dictionary reads the facts of all revisions, so that a fact keeps its type and its words."""
    for document in documents:
        for name, fact in document.facts.items():
            old = before.get(name, fact)
            if fact.type is not old.type or not set(old.values) <= set(fact.values):
                zh = f"“{name}”的类型和已有的取值不能改，请另起一个名称"
                refuse_file(
                    document.id, zh, f"`{name}` must keep its type and the values it had; give a new fact another name"
                )


def _read_together(tables: Mapping[str, Table], digests: Mapping[str, str]) -> dict[str, Document]:
    waiting = dict(tables)
    documents: dict[str, Document] = {}
    while waiting:
        ready = [name for name, table in waiting.items() if _higher(table) in {None, *documents}]
        for name in ready:
            document = read_document(waiting.pop(name), name, digests[name], documents)
            documents[document.id] = document
        if not ready:
            refuse_file(
                next(iter(waiting)), "implements 所指的文件不存在", "`implements` names no document that is present"
            )
    check_together(documents)
    return documents


def _higher(table: Table) -> str | None:
    header = table.get("document")
    implements = header.get("implements") if isinstance(header, Table) else None
    return None if implements is None else str(implements)
