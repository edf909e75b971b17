"""From the clauses of a policy file to `Clause` values: conditions, questions, benefits and quotes."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from subsidy.fields import Fields
from subsidy.operators import Quantity
from subsidy.operators_reader import Scope, read_condition, read_quantity, read_rate
from subsidy.policy import (
    AmountKind,
    Benefit,
    Clause,
    Gift,
    Layer,
    OpenPoint,
    Question,
    Quote,
    Requirement,
    Review,
)


class ClauseReader:
    """Reads the clauses of one document; holds what they share: names in scope, groups, the document's id and layer."""

    def __init__(self, document: str, layer: Layer, scope: Scope, groups: Mapping[str, Fields]) -> None:
        self._id = document
        self._layer = layer
        self._scope = scope
        self._groups = groups
        self._included: set[str] = set()

    def clauses(self, fields: list[Fields]) -> tuple[Clause, ...]:
        """Every clause; a group that none of them includes is a fault."""
        clauses = tuple(self._clause(clause) for clause in fields)
        for name in self._groups.keys() - self._included:
            self._groups[name].fault(None, f"没有条款用到“{name}”这一组", f"no clause includes the group `{name}`")
        return clauses

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
            opens_when=self._requirement(fields.table("opens_when"), departments[0], self._layer)
            if fields.has("opens_when")
            else None,
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
            quote=read_quote(fields),
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
            quote=read_quote(fields) if fields.has("quote") else None,
            rate=read_rate(fields, "rate", fields.take("rate")) if fields.has("rate") else Fraction(1),
            of=self._number(fields, "of"),
            cap=self._number(fields, "cap"),
            range_yuan=self._range(fields),
            unless_known=self._unless_known(fields, department),
            questions=self._questions(fields, department),
            gifts=tuple(self._gift(gift) for gift in fields.tables("gives")),
        )
        if (kind in {AmountKind.EXACT, AmountKind.CEILING}) != (benefit.of is not None and benefit.cap is not None):
            fields.fault(
                "kind",
                "exact 与 ceiling 要有 of 和 cap，其他不要",
                "exact and ceiling take `of` and `cap`, the others do not",
            )
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
        if (
            isinstance(written, list)
            and len(written) == 2
            and all(type(item) is int for item in written)
            and 0 <= written[0] <= written[1]
        ):
            return written[0], written[1]
        fields.fault(
            "range_yuan", "应为 [最低, 最高] 两个整数（元）", "must be [lowest, highest], two whole numbers of yuan"
        )
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


def read_quote(fields: Fields) -> Quote:
    """The fields `quote` and `line` (one line or a list) of a mapping."""
    text = fields.text("quote")
    written = fields.take("line")
    lines = [line for line in (written if isinstance(written, list) else [written]) if type(line) is int and line > 0]
    if not lines or (isinstance(written, list) and len(lines) != len(written)):
        fields.fault("line", "line 应为原文行号，如 53 或 [53, 109]", "`line` must be line numbers of the source text")
    return Quote(text, tuple(lines))
