"""Strict YAML: text in, plain values with their line numbers out.

YAML guesses: `16:30` becomes 990, `010` becomes 8, `no` becomes false, `1.25` a float, and a repeated key silently
replaces the first. Whatever it could guess wrong is refused here, with the line and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from ledger.errors import Finding
from subsidy.errors import SubsidyError

TEXT_CHARACTERS_MAX = 8_000_000
DEPTH_MAX = 40

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*|[1-9][0-9]{0,2}(_[0-9]{3})+)")
_TAG = "tag:yaml.org,2002:"


class Table(dict[str, object]):
    """A mapping that knows the line on which each of its keys stands."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Row(list[object]):
    """A sequence that knows the line on which each of its items stands."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


def read_yaml(text: str, source: str) -> Table:
    """The mapping that `text` holds; `source` names it in errors (`323-2024.yaml:17`).

    Raises:
        SubsidyError: `yaml-refused`, with one finding per place that is malformed or that YAML would misread.

    """
    findings: list[Finding] = []
    value: object = None
    try:
        findings.extend(_refuse_shape(text, source))
        if not findings:
            value = _Reader(source, findings).value(yaml.compose(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        findings.append(_finding(source, line, f"YAML 语法有误：{error.problem}", f"YAML syntax: {error.problem}"))
    except yaml.YAMLError as error:
        findings.append(_finding(source, 1, f"YAML 无法读取：{error}", f"unreadable YAML: {error}"))
    if not findings and not isinstance(value, Table):
        findings.append(
            _finding(source, 1, "文件顶层应为“键: 值”", "the top of the file must be a mapping `key: value`")
        )
    if findings or not isinstance(value, Table):
        raise SubsidyError(
            "yaml-refused", f"{source} 无法读取", f"{source} cannot be read: {findings[0].en}", findings=findings
        )
    return value


def _finding(source: str, line: int, zh: str, en: str) -> Finding:
    return Finding("yaml-refused", zh, en, where=f"{source}:{line}")


def _refuse_shape(text: str, source: str) -> Iterator[Finding]:
    """A file too large, nested so deep that the composer, which recurses, would fail, or one that refers to itself."""
    if len(text) > TEXT_CHARACTERS_MAX:
        yield _finding(source, 1, "文件过大，请分成几个文件", "the file is too large; split it")
        return
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            yield _finding(source, line, f"嵌套超过 {DEPTH_MAX} 层", f"nested deeper than {DEPTH_MAX} levels")
            return
        if getattr(event, "anchor", None) is not None:
            yield _finding(
                source,
                line,
                "不用 & 和 * 引用，请写出全文",
                "anchors and aliases (& and *) are refused; write the value out",
            )


class _Reader:
    """Turns one composed document into values, noting every fault instead of stopping at the first."""

    def __init__(self, source: str, findings: list[Finding]) -> None:
        self._source = source
        self._findings = findings

    def _fault(self, node: yaml.Node, zh: str, en: str) -> None:
        self._findings.append(_finding(self._source, node.start_mark.line + 1, zh, en))

    def value(self, node: yaml.Node | None) -> object:
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            row = Row()
            for item in node.value:
                row.append(self.value(item))
                row.lines.append(item.start_mark.line + 1)
            return row
        assert isinstance(node, yaml.MappingNode)
        return self._table(node)

    def _table(self, node: yaml.MappingNode) -> Table:
        table = Table(node.start_mark.line + 1)
        for key_node, value_node in node.value:
            key = self._key(key_node)
            line = key_node.start_mark.line + 1
            if key in table:
                first = table.lines[key]
                self._fault(
                    key_node,
                    f"键“{key}”重复，首次出现在第 {first} 行，请只留一个",
                    f"key {key!r} is repeated, first on line {first}; keep one",
                )
                continue
            table[key] = self.value(value_node)
            table.lines[key] = line
        return table

    def _key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}str":
            return str(node.value)
        written = node.value if isinstance(node, yaml.ScalarNode) else "…"
        self._fault(
            node,
            f'键应为文字，请写成 "{written}"',
            f'a key must be text; write "{written}" in quotes (no merge keys `<<`)',
        )
        return str(written)

    def _scalar(self, node: yaml.ScalarNode) -> object:
        written: str = node.value
        match node.tag.removeprefix(_TAG):
            case "str" | "timestamp":
                return written
            case "null":
                return None
            case "bool" if written in {"true", "false"}:
                return written == "true"
            case "int" if _INTEGER.fullmatch(written):
                return int(written.replace("_", ""))
            case "bool":
                zh, en = (
                    f"“{written}”会被读成真假，请写 true、false 或加引号",
                    f"{written} reads as true or false; write true, false or quote it",
                )
            case "float":
                zh, en = f'不收浮点数 {written}，请写成 "{written}"', f'floats are refused; write "{written}" in quotes'
            case "int" if ":" in written:
                zh, en = (
                    f'“{written}”会被读成六十进制数，请写成 "{written}"',
                    f'{written} reads as a base-60 number; write "{written}" in quotes',
                )
            case "int":
                zh, en = (
                    f'“{written}”不是十进制整数，请写成 "{written}" 或普通整数',
                    f'{written} is not a plain decimal integer; write it so, or "{written}" in quotes',
                )
            case tag:
                zh, en = f"不收类型标记 {tag}", f"the tag {tag} is refused; write a plain value"
        self._fault(node, zh, en)
        return written
