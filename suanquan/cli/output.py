"""What commands print: one JSON document or plain lines on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from ledger.errors import DomainError


def emit(value: Any, *, as_json: bool) -> None:
    """Print a result."""
    if as_json:
        print(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        for line in _lines(value, ""):
            print(line)


def _lines(value: Any, indent: str) -> list[str]:
    if isinstance(value, Mapping):
        lines: list[str] = []
        for name, item in value.items():
            nested = isinstance(item, Mapping | list) and item
            lines.append(f"{indent}{name}:" if nested else f"{indent}{name}: {_plain(item)}")
            if nested:
                lines.extend(_lines(item, indent + "  "))
        return lines
    if isinstance(value, list):
        return [line for item in value for line in (*_lines(item, indent), *([""] if isinstance(item, Mapping) else []))]
    return [f"{indent}{_plain(value)}"]


def _plain(value: Any) -> str:
    return "-" if value is None or value in ({}, []) else str(value)


def note(text: str) -> None:
    """Say something that is no result."""
    print(text, file=sys.stderr)


def fail(error: DomainError) -> int:
    """Say what went wrong and where; give the exit status of its kind."""
    from suanquan.errors import EXIT_STATUS

    note(f"错误 {error.code}：{error.zh}\nerror {error.code}: {error.en}")
    for finding in error.findings:
        note(f"  {finding.where or finding.code}: {finding.zh} / {finding.en}")
    return EXIT_STATUS[error.kind]
