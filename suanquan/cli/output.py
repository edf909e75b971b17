"""What commands print: one JSON document or plain lines on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from ledger.errors import DomainError, Kind
from suanquan.visible import visible

MS_PER_HOUR = 3_600_000


def emit(value: Any, *, as_json: bool) -> None:
    """Print a result."""
    if as_json:
        print(as_json_text(value), flush=True)
    else:
        print("\n".join(_lines(value, "")), flush=True)


def as_json_text(value: Any) -> str:
    """A result as the one JSON document."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def emit_summary(summary: dict[str, Any], *, as_json: bool) -> None:
    """Print what the demo came to."""
    if as_json:
        emit(summary, as_json=True)
        return
    hours = {account: f"{gpu_ms / MS_PER_HOUR:,.2f}" for account, gpu_ms in summary["by_account"].items()}
    log = summary["log"]
    print(f"签发 issued       {summary['issued_yuan']} 元 yuan")
    print(f"计量 metered      {summary['gpu_ms'] / MS_PER_HOUR:,.2f} 卡时 GPU-hours，{summary['records']:,} 条 records")
    print(f"计价 rated        {summary['rated_yuan']} 元 yuan")
    print(f"抵扣 debited      {summary['debited_yuan']} 元 yuan")
    print(f"自付 self-pay     {summary['self_pay_yuan']} 元 yuan")
    print(f"结果 statuses     {_pairs(summary['statuses'])}")
    print(f"利用 utilisation  {_pairs(summary['utilisation'])}")
    print(f"账户 GPU-hours    {_pairs(hours)}")
    print(f"日志 log head     {log['size']} 条 entries，根 root {log['root']}", flush=True)


def _pairs(values: Mapping[str, object]) -> str:
    return " · ".join(f"{name} {value}" for name, value in values.items()) or "-"


def _lines(value: Any, indent: str) -> list[str]:
    if isinstance(value, Mapping):
        lines: list[str] = []
        for name, item in value.items():
            nested = isinstance(item, Mapping | list) and item
            lines.append(f"{indent}{_plain(name)}:" if nested else f"{indent}{_plain(name)}: {_plain(item)}")
            if nested:
                lines.extend(_lines(item, indent + "  "))
        return lines
    if isinstance(value, list):
        return [
            line for item in value for line in (*_lines(item, indent), *([""] if isinstance(item, Mapping) else []))
        ]
    return [f"{indent}{_plain(value)}"]


def _plain(value: Any) -> str:
    return "-" if value is None or value in ({}, []) else visible(str(value)).replace("\n", "\n    ")


def note(text: str) -> None:
    """Say something that is no result."""
    print(visible(text), file=sys.stderr)


def of_system(fault: OSError) -> DomainError:
    """A file or a connection that cannot be used, in the words of the system."""
    kind = Kind.UNAVAILABLE
    if isinstance(fault, FileNotFoundError):
        kind = Kind.NOT_FOUND
    elif isinstance(fault, PermissionError):
        kind = Kind.NOT_ALLOWED
    elif isinstance(fault, FileExistsError | IsADirectoryError | NotADirectoryError):
        kind = Kind.INVALID
    what = f"{fault.filename}: {fault.strerror}" if fault.filename is not None else str(fault)
    return DomainError("system-error", f"无法读写：{what}", f"cannot read or write {what}", kind=kind)


def fail(error: DomainError) -> int:
    """Say what went wrong and where; give the exit status of its kind."""
    from suanquan.errors import EXIT_STATUS, cause_of

    note(f"错误 {error.code}：{error.zh}\nerror {error.code}: {error.en}")
    if error.kind is Kind.UNAVAILABLE and (cause := cause_of(error)):
        note(f"  {cause}")
    for finding in error.findings:
        note(f"  {finding.where or finding.code}: {finding.zh} / {finding.en}")
    return EXIT_STATUS[error.kind]
