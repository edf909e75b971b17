"""From the YAML of a policy document to a `Document`; every fault is reported with file and line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from subsidy.clause_reader import ClauseReader, read_quote
from subsidy.facts import Fact, FactType, Fault, Supplier, read_value
from subsidy.fields import Faults, Fields
from subsidy.operators_reader import Scope, read_quantity
from subsidy.policy import Document, Layer, NamedQuantity
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
    """Reads one document: its header, facts and quantities, and through `ClauseReader` its clauses."""

    def __init__(self, fields: Fields, higher: Mapping[str, Document]) -> None:
        self._fields = fields
        self._header = fields.table("document")
        self._id = self._header.text("id")
        self._implements = self._header.text("implements", "") or None
        self._scope = Scope(
            {name: fact for document in higher.values() for name, fact in document.facts.items()},
            {name: entry.quantity for document in higher.values() for name, entry in document.quantities.items()},
        )

    def document(self, digest: str) -> Document:
        header = self._header
        facts = self._facts()
        quantities = self._quantities()
        groups = dict(self._fields.table("groups").items()) if self._fields.has("groups") else {}
        layer = Layer.PROCEDURE if self._implements else Layer.ENTITLEMENT
        clauses = ClauseReader(self._id, layer, self._scope, groups).clauses(
            self._fields.tables("clauses", required=True)
        )
        validity = header.table("validity")
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
            validity=read_quote(validity),
            source_sha256=header.text("source_sha256"),
            digest=digest,
            facts=facts,
            quantities=quantities,
            clauses=clauses,
            effective_from=header.day("effective_from") if header.has("effective_from") else None,
        )
        self._check_header(document)
        validity.done()
        header.done()
        self._fields.done()
        return document

    def _check_header(self, document: Document) -> None:
        header = self._header
        if not _SHA256.fullmatch(document.source_sha256):
            header.fault("source_sha256", "应为 64 位小写十六进制", "must be 64 lower-case hexadecimal digits")
        if not document.issued_on <= document.published_on <= document.first_day <= document.last_day:
            zh = "日期应依次为 issued_on ≤ published_on ≤ in_force_from ≤ in_force_to"
            header.fault("in_force_to", zh, "days must run issued_on, published_on, in_force_from, in_force_to")

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
