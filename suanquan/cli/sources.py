"""Options of usage files, shared by `agent` and `demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from metering.sources.options import SourceOptions


def source_options(
    source: str,
    mapped: list[str] | None,
    constants: list[str] | None,
    timezone: str | None,
    delimiter: str | None,
    columns: str | None,
    step: str | None,
) -> SourceOptions:
    """How to read a file, from the command line."""
    from metering.agent.collectors import load_sources
    from metering.sources.options import FIELDS, SourceOptions, parse_step_s

    if source not in FIELDS:
        load_sources()
    return SourceOptions(
        source,
        _pairs("--map", mapped),
        _pairs("--set", constants),
        timezone,
        delimiter,
        tuple(column.strip() for column in columns.split(",")) if columns else None,
        parse_step_s(step) if step else None,
    )


def _pairs(option: str, items: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals or not name or name in pairs:
            raise typer.BadParameter(
                f"{item!r}: 应为 字段=值，且不重复 / must be FIELD=VALUE, each field once", param_hint=option
            )
        pairs[name] = value
    return pairs
