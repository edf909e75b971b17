"""Exports of a month of usage as files, written as they are read: nothing holds the whole month in memory."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ledger.amount import CNY, format_units
from ledger.cells import plain_cell
from metering.focus import COLUMNS, Charge, row
from metering.zones import rfc3339
from suanquan.optional import load_pyarrow
from suanquan.service import Service
from suanquan.use_cases.focus_export import charges

ROWS_AT_ONCE = 1000


class _Form(NamedTuple):
    """Columns of a form, and one charge in them."""

    columns: Sequence[str]
    row: Callable[[Charge], dict[str, str]]


PLAIN = (
    *("billing_from", "billing_to", "from", "to", "centre", "account", "model", "gpu_ms", "yuan_per_gpu_hour"),
    *("list_yuan", "self_pay_yuan", "voucher", "correction", "records", "yuan", "cost_classes"),
)


def _plain(charge: Charge) -> dict[str, str]:
    focus = row(charge)
    instants = charge.billing_from_us, charge.billing_to_us, charge.from_us, charge.to_us
    values = (
        *map(rfc3339, instants), charge.centre, charge.account, charge.model, str(charge.gpu_ms),
        *(format_units(units, CNY) for units in (charge.unit_yuan, charge.list_yuan, charge.billed_yuan)),
        charge.voucher or "", "true" if charge.correction else "false", charge.tags["records"], focus["ContractedCost"],
        focus["x_CostClasses"],
    )  # fmt: skip
    return dict(zip(PLAIN, values, strict=True))


FORMS = {"focus-csv": _Form(COLUMNS, row), "csv": _Form(PLAIN, _plain), "parquet": _Form(COLUMNS, row)}


async def write_export(service: Service, month: int, form: str, path: Path) -> int:
    """Write the charges of a month (202611) to a file; how many rows that were.

    Raises:
        ServiceError: `library-missing` for parquet without pyarrow, `posting-changed`.

    """
    if form == "parquet":
        return await _parquet(service, month, path)
    count, wanted = 0, FORMS[form]
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, wanted.columns, lineterminator="\n")
        writer.writeheader()
        async for charge in charges(service, month):
            writer.writerow({name: plain_cell(text) for name, text in wanted.row(charge).items()})
            count += 1
    return count


async def _parquet(service: Service, month: int, path: Path) -> int:
    """FOCUS columns as text, null where they are empty."""
    arrow: Any = load_pyarrow()
    schema = arrow.schema([(name, arrow.string()) for name in COLUMNS])
    count = 0
    with arrow.parquet.ParquetWriter(path, schema) as writer:
        rows: list[dict[str, str | None]] = []
        async for charge in charges(service, month):
            rows.append({name: value or None for name, value in row(charge).items()})
            count += 1
            if len(rows) == ROWS_AT_ONCE:
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
                rows = []
        writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    return count
