"""The delivery certificate (交付凭证): every job behind a batch's lines, as a table that spreadsheets read.

It is made from what was metered and posted, not from what a provider writes. Each row says which entry of the log it stands
on, so that anybody with a receipt finds it; corrections stand as rows of their own, below zero.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ledger.cells import plain_cell
from voucher.settlement.batch import yuan

COLUMNS = (
    *("log_index", "centre", "account", "kind", "job", "id", "start", "end", "accelerators", "gpu_ms"),
    *("price_yuan", "voucher", "voucher_yuan", "own_yuan"),
)


class Row(NamedTuple):
    """One job, and the part that one voucher of the batch's scheme paid of it; units of yuan."""

    seq: int
    centre: str
    account: str
    about: Mapping[str, Any]
    price: int
    jti: str
    paid: int
    own: int


def certificate(rows: Iterable[Row]) -> bytes:
    """The table, UTF-8 with a byte order mark; its last line is the sum of what vouchers paid."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    total, count = 0, 0
    for row in rows:
        about = row.about
        cards = "+".join(f"{one['model']}×{one['count_milli']}" for one in about.get("accelerators", ()))
        job = about.get("job") or about.get("reference") or ""
        start = about.get("start") or about.get("captured_at") or ""
        writer.writerow(
            [
                row.seq, row.centre, plain_cell(row.account), about["kind"], plain_cell(job), plain_cell(about.get("id") or about.get("event_id", "")),
                start, about.get("end", ""), plain_cell(cards), about.get("gpu_ms", ""), yuan(row.price), row.jti, yuan(row.paid),
                yuan(row.own),
            ]
        )  # fmt: skip
        total, count = total + row.paid, count + 1
    writer.writerow(["TOTAL", count, *[""] * 10, yuan(total), ""])
    return b"\xef\xbb\xbf" + out.getvalue().encode()
