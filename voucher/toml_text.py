"""Strict TOML: text in, plain values with their line numbers out, so that every fault can be named by file and line.

The counterpart of `subsidy.yaml_text`: its `Table` and `Row` carry the lines, and what reads a policy file reads a scheme file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from subsidy.yaml_text import Row, Table

BYTES_MAX = 1_000_000
DEPTH_MAX = 40

Path: TypeAlias = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")


class Float(str):
    """A TOML float as written: kept apart so that its place can be named. It is text to nobody."""

    __slots__ = ()


class TomlError(ValueError):
    """The text is no TOML, or larger or deeper than a file written by hand."""


def read_toml(data: bytes) -> Table:
    """The tables of a TOML file, each knowing the lines of its keys; floats stay as `Float`.

    Raises:
        TomlError: not UTF-8, not TOML, or out of bounds.

    """
    if len(data) > BYTES_MAX:
        raise TomlError(f"more than {BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8")
        document = tomllib.loads(text, parse_float=Float)
        return _table(document, _lines(text), (), 1)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise TomlError(str(error) or "nested too deep") from error


def floats(value: object, line: int = 1) -> Iterator[tuple[int, str]]:
    """Line and spelling of every float under `value`."""
    if isinstance(value, Float):
        yield line, str(value)
    elif isinstance(value, Table):
        for key, item in value.items():
            yield from floats(item, value.lines[key])
    elif isinstance(value, Row):
        for at, item in enumerate(value):
            yield from floats(item, value.lines[at])


def _lines(text: str) -> dict[Path, int]:
    """Line of each header and key, the first one where a multi-line string repeats what looks like a key."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    here: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            parts = _parts(header[2])
            above = _inside(parts[:-1], counts)
            here = (*above, parts[-1])
            found.setdefault(here, number)
            if header[1] == "[[":
                counts[here] = counts.get(here, -1) + 1
            if here in counts:
                here = (*here, counts[here])
                found.setdefault(here, number)
        elif key := _KEY.match(line):
            parts = _parts(key[1])
            for depth in range(1, len(parts) + 1):
                found.setdefault((*here, *parts[:depth]), number)
    return found


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _inside(path: Path, counts: Mapping[Path, int]) -> Path:
    """A header's path with the number of the current item of each array of tables on the way."""
    full: Path = ()
    for part in path:
        full = (*full, part)
        if full in counts:
            full = (*full, counts[full])
    return full


def _table(value: Mapping[str, Any], lines: Mapping[Path, int], path: Path, line: int) -> Table:
    if len(path) > DEPTH_MAX:
        raise TomlError(f"nested deeper than {DEPTH_MAX} levels")
    table = Table(lines.get(path, line))
    for key, item in value.items():
        inner = (*path, key)
        table.lines[key] = lines.get(inner, table.line)
        table[key] = _value(item, lines, inner, table.lines[key])
    return table


def _value(value: object, lines: Mapping[Path, int], path: Path, line: int) -> object:
    if isinstance(value, dict):
        return _table(value, lines, path, line)
    if not isinstance(value, list):
        return value
    if len(path) > DEPTH_MAX:
        raise TomlError(f"nested deeper than {DEPTH_MAX} levels")
    row = Row()
    for at, item in enumerate(value):
        row.lines.append(lines.get((*path, at), line))
        row.append(_value(item, lines, (*path, at), row.lines[-1]))
    return row
