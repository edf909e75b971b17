"""From a scheme file to a `Series`: one TOML file per scheme, read strictly, every value with the source it stands on.

`scheme_schema` lists the keys; docs/schemes.md explains them. Every fault is told at once, with file, line and key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from ledger.errors import Finding, LedgerError
from subsidy.facts import Fact, FactType
from subsidy.fields import Faults, Fields
from subsidy.operators import Condition
from subsidy.operators_reader import Scope, read_condition
from subsidy.yaml_text import Table
from voucher import scheme_schema as schema
from voucher.claim_facts import FACTS
from voucher.errors import VoucherError
from voucher.fields import Field
from voucher.scheme import INVENTED, Scheme, SchemeStatus, Series
from voucher.scheme_build import Row, Section, Version, build
from voucher.scheme_cases import differs
from voucher.scheme_check import contradictions, incomplete
from voucher.toml_text import TomlError, floats, read_toml


def load_series(folder: Path) -> dict[str, Series]:
    """Every scheme of `folder/*.toml` by id.

    Raises:
        VoucherError: `scheme-invalid` of the first faulty file, or `scheme-duplicate`.

    """
    found: dict[str, Series] = {}
    for path in sorted(folder.glob("*.toml")):
        series = parse_series(path.read_bytes(), path.name)
        if series.id in found:
            raise VoucherError(
                "scheme-duplicate",
                f"{path.name}：方案 {series.id} 已在另一文件中定义",
                f"{path.name}: the scheme {series.id} is already defined in another file",
            )
        found[series.id] = series
    return found


def parse_scheme(data: bytes, file: str) -> Scheme:
    """The latest version in the bytes of a scheme file; see `parse_series`."""
    return parse_series(data, file).latest


def parse_series(data: bytes, file: str) -> Series:
    """All versions in the bytes of a TOML file; `file` is its name in messages.

    Raises:
        VoucherError: `scheme-invalid`, with a finding for every fault, each naming file, line and key.

    """
    try:
        document = read_toml(data)
    except TomlError as error:
        raise _invalid(
            file, [Finding("scheme-syntax", f"不是合规的 TOML：{error}", f"not TOML: {error}", file)]
        ) from error
    found = [
        Finding(
            "scheme-float",
            f"不得写浮点数 {text}，请写整数分或加引号",
            f"floats are refused; write {text} as integer fen or in quotes",
            f"{file}:{line}",
        )
        for line, text in floats(document)
    ]
    reader = _File(file)
    series = None if found else reader.series(document, hashlib.sha256(data).hexdigest())
    found += reader.findings
    if found or series is None:
        raise _invalid(file, found)
    return series


def _invalid(file: str, findings: list[Finding]) -> VoucherError:
    findings = list(dict.fromkeys(findings))
    first = findings[0]
    return VoucherError(
        "scheme-invalid",
        f"方案文件 {file} 有 {len(findings)} 处须修改（规则见 docs/schemes.md）：{first.where} {first.zh}",
        f"the scheme file {file} has {len(findings)} faults (docs/schemes.md has the rules): {first.where} {first.en}",
        findings=findings,
    )


class _File:
    """Reads one file and gathers its faults."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.findings: list[Finding] = []
        self._sources: Mapping[str, str] = {}
        self._cited: set[str] = set()
        self._scope = Scope(dict(FACTS))

    def series(self, document: Table, digest: str) -> Series | None:
        self._sources = self._read_sources(document)
        self._scope = Scope({**FACTS, **self._facts(document)})
        identity = self._values(
            document, "", schema.IDENTITY, tuple(schema.IDENTITY), {"sources", "facts", "version", "example"}, ""
        )
        versions = [self._version(item, at) for at, item in enumerate(self._tables(document, "version", ""))]
        if not versions:
            self._fault(
                document,
                "",
                "version",
                "scheme-key-missing",
                "至少要有一个 [[version]]",
                "needs at least one [[version]]",
            )
        for name in self._sources.keys() - self._cited:
            self._fault(
                document.get("sources"), "sources", name, "scheme-source-unused", "没有值引用它", "is cited by no value"
            )
        if not self.findings:
            for version in versions:
                self._together(version, identity["id"])
            self._overlaps(document, versions)
        if self.findings:
            return None
        built = [build(identity, version, self._scope.facts, digest) for version in versions]
        series = Series(
            identity["id"],
            tuple(sorted(built, key=lambda scheme: (scheme.in_force.first is not None, scheme.in_force.first))),
        )
        self._examples(document, series)
        return series

    # --- faults -------------------------------------------------------------------------------------------------------

    def _fault(self, table: object, path: str, key: str, code: str, zh: str, en: str) -> None:
        line = table.lines.get(key, table.line) if isinstance(table, Table) else 1
        field = ".".join(part for part in (path, key) if part)
        self.findings.append(Finding(code, zh, en, f"{self._file}:{line}:{field}"))

    def _together(self, version: Version, scheme_id: str) -> None:
        for section, key, finding in (*incomplete(version), *contradictions(version, scheme_id)):
            note = version.source_of(section)
            zh, en = (f"（出处：{note}）", f" (source: {note})") if note else ("", "")
            table = version.table_of(section)
            self._fault(table, version.path_of(section), key, finding.code, finding.zh + zh, finding.en + en)

    def _overlaps(self, document: Table, versions: list[Version]) -> None:
        ordered = sorted(versions, key=lambda version: (version.span.first is not None, version.span.first))
        for earlier, later in pairwise(ordered):
            if earlier.span.overlaps(later.span):
                name = earlier.values["version"]
                self._fault(
                    later.table,
                    later.path,
                    "from",
                    "scheme-overlap",
                    f"与版本 {name} 的施行期重叠",
                    f"is in force on days of the version {name}, too",
                )
        names = [version.values["version"] for version in versions]
        if len(set(names)) != len(names):
            self._fault(document, "", "version", "scheme-overlap", "两个版本同名", "two versions have the same name")

    # --- parts of a file ----------------------------------------------------------------------------------------------

    def _read_sources(self, document: Table) -> Mapping[str, str]:
        table = document.get("sources")
        if not isinstance(table, Table) or not table:
            self._fault(
                document,
                "",
                "sources",
                "scheme-source",
                "应为表：名称 = 文件及其出处",
                "must be a table of names and the documents they stand for",
            )
            return {}
        for name, text in table.items():
            if not isinstance(text, str) or not text.strip():
                self._fault(table, "sources", name, "scheme-source", "应为文字", "must be text")
        return {name: str(text) for name, text in table.items()}

    def _facts(self, document: Table) -> dict[str, Fact]:
        """Facts that this scheme adds to the dictionary: `[facts."beneficiary.tier"]` with type, zh, en and values."""
        table = document.get("facts", Table(1))
        if not isinstance(table, Table):
            self._fault(document, "", "facts", "scheme-value", "应为表", "must be a table")
            return {}
        faults = Faults(self._file)
        found = {name: _fact(name, fields) for name, fields in Fields(faults, table, "facts").items()}
        for name in found.keys() & FACTS.keys():
            self._fault(table, "facts", name, "scheme-key-unknown", "已有这项事实", "is a fact already")
        self.findings += [Finding("scheme-condition", f.zh, f.en, f.where) for f in faults.findings]
        return found

    def _examples(self, document: Table, series: Series) -> None:
        """Examples that the scheme's text publishes: the rules as read must give their figures."""
        for at, table in enumerate(self._tables(document, "example", "")):
            path, others = f"example[{at}]", {"facts", "source"}
            note = self._source(table, path, "")
            values = self._values(table, path, schema.EXAMPLE, tuple(schema.EXAMPLE), others, note)
            if values.keys() == schema.EXAMPLE.keys() and (said := differs(series, table.get("facts"), **values)):
                self._fault(table, path, "amount_yuan", "scheme-example", *said)

    def _version(self, table: Table, at: int) -> Version:
        path = f"version[{at}]"
        known = {*schema.SECTIONS, *schema.ROWS, "source"}
        note = self._source(table, path, "")
        values = self._values(table, path, schema.VERSION, schema.VERSION_REQUIRED, known, note)
        version = Version(table, path, values, note)
        for name, fields in schema.SECTIONS.items():
            if name in table:
                version.sections[name] = self._section(table, path, name, fields, note)
        for name, fields in schema.ROWS.items():
            version.rows[name] = [
                self._row(item, f"{path}.{name}[{number}]", name, fields, note)
                for number, item in enumerate(self._tables(table, name, path))
            ]
        self._invention(version)
        return version

    def _section(self, table: Table, path: str, name: str, fields: Mapping[str, Field], note: str) -> Section:
        inner, path = table[name], f"{path}.{name}"
        if not isinstance(inner, Table):
            self._fault(table, path.rpartition(".")[0], name, "scheme-value", "应为表", "must be a table")
            return Section(Table(1), path, {}, note)
        note = self._source(inner, path, note)
        others = {"source", *({"when"} if name in schema.CONDITIONAL else ()), *({"row"} if name == "reclaim" else ())}
        values = self._values(inner, path, fields, schema.SECTION_REQUIRED.get(name, ()), others, note)
        section = Section(inner, path, values, note, self._when(inner, path))
        if name == "reclaim":
            required = tuple(schema.RECLAIM_ROW)
            for number, item in enumerate(self._tables(inner, "row", path)):
                section.rows.append(
                    self._values(item, f"{path}.row[{number}]", schema.RECLAIM_ROW, required, set(), note)
                )
        return section

    def _row(self, item: Table, path: str, name: str, fields: Mapping[str, Field], note: str) -> Row:
        note = self._source(item, path, note)
        if name == "condition":
            values, condition = self._requirement(item, path, fields, note)
            return Row(item, path, values, note, condition)
        others = {"source", "when"} if name in schema.CONDITIONAL else {"source"}
        values = self._values(item, path, fields, schema.ROW_REQUIRED[name], others, note)
        return Row(item, path, values, note, self._when(item, path))

    def _requirement(
        self, item: Table, path: str, fields: Mapping[str, Field], note: str
    ) -> tuple[dict[str, Any], Condition | None]:
        plain = Table(item.line)
        for key in item.keys() - {"source", "id"}:
            plain[key], plain.lines[key] = item[key], item.lines[key]
        condition = self._condition(plain, path)
        values = self._values(item, path, fields, (), set(item), note)
        if "id" not in values:
            if not isinstance(item.get("fact"), str):
                self._fault(
                    item,
                    path,
                    "id",
                    "scheme-key-missing",
                    "组合条件须有 id：不符合时的事实名称",
                    "a combined condition needs an id: the name of what fails",
                )
            values["id"] = item.get("fact", "")
        return values, condition

    def _when(self, table: Table, path: str) -> Condition | None:
        inner = table.get("when")
        if inner is None:
            return None
        if isinstance(inner, Table):
            return self._condition(inner, f"{path}.when")
        self._fault(table, path, "when", "scheme-condition", "应为条件", "must be a condition")
        return None

    def _condition(self, table: Table, path: str) -> Condition:
        faults = Faults(self._file)
        fields = Fields(faults, table, path)
        condition = read_condition(fields, self._scope)
        fields.done()
        self.findings += [Finding("scheme-condition", f.zh, f.en, f"{f.where}:{path}") for f in faults.findings]
        return condition

    # --- values and sources -------------------------------------------------------------------------------------------

    def _tables(self, table: Table, key: str, path: str) -> list[Table]:
        value = table.get(key, [])
        if isinstance(value, list) and all(isinstance(item, Table) for item in value):
            return [item for item in value if isinstance(item, Table)]
        self._fault(table, path, key, "scheme-value", f"应写成 [[…{key}]]", f"must be written as [[...{key}]]")
        return []

    def _values(
        self,
        table: Table,
        path: str,
        fields: Mapping[str, Field],
        required: tuple[str, ...],
        others: set[str],
        note: str,
    ) -> dict[str, Any]:
        """Values by key; what is missing, unknown, wrong or unsourced is noted."""
        values: dict[str, Any] = {}
        for key in table:
            field = fields.get(key)
            if field is None:
                if key not in others:
                    self._fault(table, path, key, "scheme-key-unknown", "不是这里的键", "is no key of this table")
            elif table[key] != schema.UNSET:
                self._value(table, path, key, field, values, note)
        for key in required:
            if key not in table:
                field = fields[key]
                self._fault(table, path, key, "scheme-key-missing", f"缺失，应为{field.zh}", f"is missing: {field.en}")
        return values

    def _value(self, table: Table, path: str, key: str, field: Field, values: dict[str, Any], note: str) -> None:
        try:
            values[key] = field.read(table[key])
        except (ValueError, LedgerError):
            self._fault(table, path, key, "scheme-value", f"应为{field.zh}", f"must be {field.en}")
        if path and not note:
            self._fault(
                table,
                path,
                key,
                "scheme-source-missing",
                "没有出处；请在本表或上级表写 source",
                "has no source; give `source` in this table or one above",
            )

    def _source(self, table: Table, path: str, inherited: str) -> str:
        """The table's note, or the inherited one. It begins with the name of a source, after which the place may stand."""
        if "source" not in table:
            return inherited
        written = table["source"]
        name, _, place = written.partition(" ") if isinstance(written, str) else ("", "", "")
        if name not in self._sources:
            self._fault(
                table,
                path,
                "source",
                "scheme-source",
                "应以 [sources] 中的名称开头",
                "must begin with a name from [sources]",
            )
            return inherited or "?"
        self._cited.add(name)
        return f"{self._sources[name]}{'，' if place else ''}{place}"

    def _invention(self, version: Version) -> None:
        """Invented numbers stand in a sandbox, and nothing else does there."""
        sandbox = version.values.get("status") == SchemeStatus.SANDBOX.value
        for table, path, note in version.notes():
            if note and note != "?" and note.startswith(INVENTED) != sandbox:
                self._fault(
                    table, path, "source", "scheme-source",
                    f"沙箱的出处以“{INVENTED}”开头，其他方案不得虚构",
                    f"a source begins with {INVENTED!r} in a sandbox, and nothing is invented elsewhere",
                )  # fmt: skip


def _fact(name: str, fields: Fields) -> Fact:
    kind = FactType(fields.choice("type", [kind.value for kind in FactType]))
    listed = kind in {FactType.CHOICE, FactType.SET}
    fact = Fact(
        name,
        kind,
        fields.text("zh"),
        fields.text("en"),
        values=fields.texts("values", required=listed),
        open=fields.flag("open", default=False),
    )
    fields.done()
    return fact
