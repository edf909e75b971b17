"""Where every hour went: an account's usage line by line, with its price."""

from __future__ import annotations

from typing import Any

from ledger.amount import CNY, format_units
from ledger.sql import Connection
from metering import segment
from metering import store as metering_store
from metering.model import UsageRecord
from metering.rating import Tariffs, rate_one
from metering.zones import rfc3339
from suanquan.catalog import Catalog

BATCHES_PER_PAGE = 5


async def statement(conn: Connection, catalog: Catalog, centre: str, account: str, before: int) -> dict[str, Any]:
    """Totals of an account and the lines of its newest batches below number `before`."""
    totals = await metering_store.usage_by(conn, "month", "model", centre=centre, account=account)
    segments = await metering_store.account_segments(conn, centre, account, before, BATCHES_PER_PAGE)
    tariffs = catalog.tariffs(centre)
    lines = [
        _line(record, number, tariffs)
        for number, data in segments
        for record in map(segment.decode, segment.unpack(data))
        if record.account == account
    ]
    return {
        "centre": centre,
        "account": account,
        "months": [
            {
                "month": f"{row['month'] // 100}-{row['month'] % 100:02d}",
                "model": row["model"],
                "records": row["records"],
                "gpu_ms": row["gpu_ms"],
                "yuan": format_units(row["rated_units"], CNY),
            }
            for row in totals
        ],
        "lines": lines,
        "next": segments[-1][0] if len(segments) == BATCHES_PER_PAGE else None,
    }


def _line(record: UsageRecord, batch: int, tariffs: Tariffs) -> dict[str, Any]:
    return {
        "id": record.id,
        "job": record.job,
        "state": record.state,
        "start": rfc3339(record.start_us),
        "end": rfc3339(record.end_us),
        "accelerators": {part.model: part.count_milli for part in record.accelerators},
        "gpu_ms": record.gpu_ms,
        "yuan": format_units(rate_one(record, tariffs), CNY),
        "batch": batch,
    }
