"""From the YAML of a policy document to a `Document`; every fault is reported with file and line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from subsidy.facts import Fact, FactType, Fault, Supplier, read_value
from subsidy.fields import Faults, Fields
from subsidy.operators import Quantity
from subsidy.operators_reader import Scope, read_condition, read_quantity, read_rate
from subsidy.policy import (
    AmountKind,
    Benefit,
    Clause,
    Document,
    Gift,
    Layer,
    NamedQuantity,
    OpenPoint,
    Question,
    Quote,
    Requirement,
    Review,
)
from subsidy.yaml_text import Table

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,79}")


def read_document(table: Table, source: str, digest: str, higher: Mapping[str, Document]) -> Document:
    """The document that the file `source`, of that sha256, says. It may use the facts and quantities of the `higher` ones.

    Raises:
        SubsidyError: `document-malformed`, with one finding per fault.

    """
    faults = Faults(source)
    document = _Reader(Fields(faults, table, ""), higher).document(digest)
    faults.raise_any()
    return document


class _Reader:
    """Reads one document; holds what its parts share: the names in scope, the groups, the document's id and layer."""

    def __init__(self, fields: Fields, higher: Mapping[str, Document]) -> None:
        self._fields = fields
        self._header = fields.table("document")
        self._id = self._header.text("id")
        self._implements = self._header.text("implements", "") or None
        self._layer = Layer.PROCEDURE if self._implements else Layer.ENTITLEMENT
        self._scope = Scope(
            {name: fact for document in higher.values() for name, fact in document.facts.items()},
            {name: entry.quantity for document in higher.values() for name, entry in document.quantities.items()},
        )
        self._groups: dict[str, Fields] = {}
        self._included: set[str] = set()

    def document(self, digest: str) -> Document:
        header = self._header
        facts = self._facts()
        quantities = self._quantities()
        if self._fields.has("groups"):
            self._groups = dict(self._fields.table("groups").items())
        clauses = tuple(self._clause(clause) for clause in self._fields.tables("clauses", required=True))
        for name in self._groups.keys() - self._included:
            self._groups[name].fault(None, f"没有条款用到“{name}”这一组", f"no clause includes the group `{name}`")
        document = Document(
            id=self._id,
            revision=header.integer("revision"),
            number=header.text("number"),
            title_zh=header.text("title_zh"),
            title_en=header.text("title_en"),
            issuers=header.texts("issuers"),
            level=header.choice("level", ("district", "city", "province", "state")),
            precedence=header.integer("precedence"),
            implements=self._implements,
            issued_on=header.day("issued_on"),
            published_on=header.day("published_on"),
            first_day=header.day("in_force_from"),
            last_day=header.day("in_force_to"),
            validity=self._quote(header.table("validity"), alone=True),
            source_sha256=header.text("source_sha256"),
            digest=digest,
            facts=facts,
            quantities=quantities,
            clauses=clauses,
        )
        if not _SHA256.fullmatch(document.source_sha256):
            header.fault("source_sha256", "应为 64 位小写十六进制", "must be 64 lower-case hexadecimal digits")
        if not document.issued_on <= document.published_on <= document.first_day <= document.last_day:
            zh, en = "日期应依次为 issued_on ≤ published_on ≤ in_force_from ≤ in_force_to", "days must run issued_on, published_on, in_force_from, in_force_to"
            header.fault("in_force_to", zh, en)
        header.done()
        self._fields.done()
        return document

    # facts and quantities

    def _facts(self) -> dict[str, Fact]:
        facts: dict[str, Fact] = {}
        for name, fields in self._fields.table("facts").items():
            if not _NAME.fullmatch(name) or name in self._scope.facts:
                fields.fault(None, f"“{name}”重名或不是小写英文名", f"`{name}` is taken, or is no lower-case name")
            facts[name] = _fact(name, fields)
        self._scope = Scope({**self._scope.facts, **facts}, self._scope.derived)
        return facts

    def _quantities(self) -> dict[str, NamedQuantity]:
        quantities: dict[str, NamedQuantity] = {}
        if not self._fields.has("quantities"):
            return quantities
        for name, fields in self._fields.table("quantities").items():
            if not _NAME.fullmatch(name) or name in self._scope.facts or name in self._scope.derived:
                fields.fault(None, f"“{name}”重名或不是小写英文名", f"`{name}` is taken, or is no lower-case name")
            quantity = read_quantity(fields, "is", fields.take("is"), self._scope)
            quantities[name] = NamedQuantity(name, fields.text("zh"), fields.text("en"), quantity)
            fields.done()
            self._scope.derived[name] = quantity
        return quantities

    # clauses

    def _clause(self, fields: Fields) -> Clause:
        departments = fields.texts("departments") or ("",)
        requirements, questions = self._requirements(fields, departments[0], self._layer)
        for name in fields.texts("include", required=False):
            group = self._groups.get(name)
            if group is None:
                fields.fault("include", f"没有“{name}”这一组", f"there is no group `{name}`")
                continue
            self._included.add(name)
            layer = Layer(group.choice("layer", [layer.value for layer in Layer], self._layer.value))
            more, asked = self._requirements(group, departments[0], layer)
            group.done()
            requirements, questions = (*requirements, *more), (*questions, *asked)
        _refuse_repeated(fields, [requirement.id for requirement in requirements])
        _refuse_repeated(fields, [question.id for question in questions])
        clause = Clause(
            id=fields.text("id"),
            document=self._id,
            title_zh=fields.text("title_zh"),
            title_en=fields.text("title_en"),
            departments=departments,
            review=Review(fields.choice("review", [review.value for review in Review])),
            requirements=requirements,
            questions=questions,
            benefit=self._benefit(fields.table("benefit"), departments[0]),
            also=fields.texts("also", required=False),
            implements=fields.text("implements", "") or None,
            opens_when=self._requirement(fields.table("opens_when"), departments[0], self._layer) if fields.has("opens_when") else None,
            open_points=tuple(self._open_point(point) for point in fields.tables("open_points")),
        )
        fields.done()
        return clause

    def _requirements(
        self, fields: Fields, department: str, layer: Layer
    ) -> tuple[tuple[Requirement, ...], tuple[Question, ...]]:
        requirements = tuple(self._requirement(part, department, layer) for part in fields.tables("requires"))
        return requirements, self._questions(fields, department)

    def _requirement(self, fields: Fields, department: str, layer: Layer) -> Requirement:
        question, lacks = None, None
        if fields.has("if_failed"):
            outcome = fields.table("if_failed")
            lacks = outcome.text("lacks", "") or None
            question = None if lacks else self._question(outcome, department)
            outcome.done()
        requirement = Requirement(
            id=fields.text("id"),
            condition=read_condition(fields, self._scope),
            quote=self._quote(fields),
            layer=layer,
            document=self._id,
            department=department,
            question=question,
            lacks=lacks,
        )
        fields.done()
        return requirement

    def _questions(self, fields: Fields, department: str) -> tuple[Question, ...]:
        questions = []
        for part in fields.tables("ask"):
            questions.append(self._question(part, department))
            part.done()
        return tuple(questions)

    def _question(self, fields: Fields, department: str) -> Question:
        condition = None
        if fields.has("when"):
            when = fields.table("when")
            condition = read_condition(when, self._scope)
            when.done()
        return Question(
            id=fields.text("ask"),
            zh=fields.text("zh"),
            en=fields.text("en"),
            decided_by=fields.text("decided_by", department),
            when=condition,
            withholds_amount=fields.flag("withholds_amount", default=False),
            regardless=fields.flag("regardless", default=False),
            person=fields.flag("person", default=True),
        )

    def _quote(self, fields: Fields, *, alone: bool = False) -> Quote:
        text = fields.text("quote")
        written = fields.take("line")
        lines = written if isinstance(written, list) else [written]
        if not lines or any(not isinstance(line, int) or isinstance(line, bool) or line < 1 for line in lines):
            fields.fault("line", "line 应为原文行号，如 53 或 [53, 109]", "`line` must be line numbers of the source text")
            lines = []
        if alone:
            fields.done()
        return Quote(text, tuple(lines))

    def _open_point(self, fields: Fields) -> OpenPoint:
        point = OpenPoint(
            fields.text("id"),
            fields.text("zh"),
            fields.text("en"),
            fields.texts("options", required=False),
            fields.text("taken", ""),
        )
        if point.taken not in (*point.options, ""):
            fields.fault("taken", "taken 应是 options 之一", "`taken` must be one of `options`")
        fields.done()
        return point

    # benefits

    def _benefit(self, fields: Fields, department: str) -> Benefit:
        kind = AmountKind(fields.choice("kind", [kind.value for kind in AmountKind]))
        benefit = Benefit(
            kind=kind,
            quote=self._quote(fields) if fields.has("quote") else None,
            rate=read_rate(fields, "rate", fields.take("rate")) if fields.has("rate") else Fraction(1),
            of=self._number(fields, "of"),
            cap=self._number(fields, "cap"),
            range_yuan=self._range(fields),
            unless_known=self._unless_known(fields, department),
            questions=self._questions(fields, department),
            gifts=tuple(self._gift(gift) for gift in fields.tables("gives")),
        )
        if (kind in {AmountKind.EXACT, AmountKind.CEILING}) != (benefit.of is not None and benefit.cap is not None):
            fields.fault("kind", "exact 与 ceiling 要有 of 和 cap，其他不要", "exact and ceiling take `of` and `cap`, the others do not")
        if (kind is AmountKind.RANGE) != (benefit.range_yuan is not None):
            fields.fault("kind", "range 要有 range_yuan，其他不要", "range takes `range_yuan`, the others do not")
        if kind is not AmountKind.NONE and benefit.quote is None:
            fields.fault("quote", "给付要引原文", "a benefit must quote the text")
        fields.done()
        return benefit

    def _number(self, fields: Fields, key: str) -> Quantity | None:
        return read_quantity(fields, key, fields.take(key), self._scope) if fields.has(key) else None

    def _range(self, fields: Fields) -> tuple[int, int] | None:
        written = fields.take("range_yuan")
        if written is None:
            return None
        if isinstance(written, list) and len(written) == 2 and all(type(item) is int for item in written) and 0 <= written[0] <= written[1]:
            return written[0], written[1]
        fields.fault("range_yuan", "应为 [最低, 最高] 两个整数（元）", "must be [lowest, highest], two whole numbers of yuan")
        return None

    def _unless_known(self, fields: Fields, department: str) -> Question | None:
        if not fields.has("unless_known"):
            return None
        inner = fields.table("unless_known")
        question = self._question(inner, department)
        inner.done()
        return question

    def _gift(self, fields: Fields) -> Gift:
        when = fields.table("when")
        gift = Gift(fields.text("id"), fields.text("zh"), fields.text("en"), read_condition(when, self._scope))
        when.done()
        fields.done()
        return gift


def _refuse_repeated(fields: Fields, ids: list[str]) -> None:
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        fields.fault(None, f"“{name}”在本条中重复", f"`{name}` is repeated in this clause")


def _fact(name: str, fields: Fields) -> Fact:
    kind = FactType(fields.choice("type", [kind.value for kind in FactType]))
    fact = Fact(
        name=name,
        type=kind,
        question_zh=fields.text("zh"),
        question_en=fields.text("en"),
        unit=fields.text("unit", ""),
        values=fields.texts("values", required=kind in {FactType.CHOICE, FactType.SET}),
        open=fields.flag("open", default=False),
        low=_bound(fields, "low") or Decimal(0),
        high=_bound(fields, "high"),
        supplier=Supplier(fields.choice("from", [supplier.value for supplier in Supplier], "applicant")),
        evidence=fields.text("evidence", ""),
        effort=fields.integer("effort", 1),
    )
    assumed = fields.take("assumed")
    if assumed is not None:
        value = read_value(fact, assumed)
        if isinstance(value, Fault):
            fields.fault("assumed", value.zh, value.en)
        else:
            fact = replace(fact, assumed=value)
    fields.done()
    return fact


def _bound(fields: Fields, key: str) -> Decimal | None:
    if not fields.has(key):
        return None
    written = fields.take(key)
    try:
        return Decimal(str(written))
    except InvalidOperation:
        fields.fault(key, "应为数", "must be a number")
        return None
