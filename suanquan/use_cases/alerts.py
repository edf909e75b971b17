"""Alerts on vouchers: written once for each threshold that is crossed, and listed. Who delivers them reads them here."""

from __future__ import annotations

from typing import Any

from ledger.amount import ASSETS_BY_NUMBER, format_units
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering.notice_store import AlertRow, alerts_given, load_alerts, write_alerts
from metering.zones import rfc3339
from suanquan.db.notices import put
from suanquan.notices.model import Kind, Notice, of_holder
from suanquan.service import Service
from voucher import store as voucher_store
from voucher.alerts import EXPIRY, Alert, Standing, due
from voucher.store import StoredVoucher

PAGE = 500


def thresholds(text: str) -> list[int]:
    """Whole numbers with commas between them, as settings have them."""
    return sorted({int(part) for part in text.split(",") if part})


async def give_alerts(service: Service) -> int:
    """Write the alerts that are due and were not given before; how many there were. Read beside the writer, a page at a time."""
    settings, count, after, more = service.settings, 0, "", True
    used, days = thresholds(settings.alert_used_percent), thresholds(settings.alert_expiry_days)
    while more:
        async with service.database.read() as connection:
            page = await voucher_store.list_vouchers(connection, EVERYTHING, after=after, limit=PAGE)
            found = [alert for one in page for alert in due(_standing(one), service.now_us, used, days)]
            given = await alerts_given(connection, {alert.standing.voucher for alert in found})
        new = [alert for alert in found if (alert.kind, alert.standing.voucher, alert.threshold) not in given]
        if new:
            count += await service.journal.transact(lambda tx, new=new: _write(tx, new))  # type: ignore[misc]
        more = len(page) == PAGE
        after = page[-1].jti if page else ""
    return count


async def _write(tx: Transaction, new: list[Alert]) -> int:
    """Append alerts, but for those that another process has given meanwhile."""
    given = await alerts_given(tx.connection, {alert.standing.voucher for alert in new})
    rows = [
        (alert.kind, one.voucher, alert.threshold, one.scheme, one.holder, one.asset, one.amount, one.available,
         one.until_us, tx.now_ns // 1000)
        for alert in new
        for one in (alert.standing,)
        if (alert.kind, one.voucher, alert.threshold) not in given
    ]  # fmt: skip
    await write_alerts(tx.connection, rows)
    for at, row in enumerate(rows):
        told = alert_object(AlertRow(at, *row))
        kind = Kind.VOUCHER_EXPIRING if told["kind"] == EXPIRY else Kind.VOUCHER_USED
        data = {name: told[name] for name in ("threshold", "scheme", "unit", "available", "valid_until")}
        zh, en = f"{told['title']}（{told['voucher']}）", f"{told['detail']} ({told['voucher']})"
        notice = Notice(kind, of_holder(told["holder"]), told["voucher"], zh, en, data)
        await put(tx.connection, notice, tx.now_ns // 1000)
    return len(rows)


def _standing(one: StoredVoucher) -> Standing:
    amount = one.units - one.returned - one.split
    available = one.credits_posted - one.debits_posted - one.debits_held
    return Standing(one.jti, one.scheme, one.holder, one.asset, amount, available, one.until_us)


async def list_alerts(conn: Connection, after: int, limit: int, holder: str | None = None) -> dict[str, Any]:
    """Alerts in the order in which they were given; `next` continues."""
    rows = await load_alerts(conn, after, limit, holder)
    return {"alerts": [alert_object(row) for row in rows], "next": rows[-1].number if len(rows) == limit else None}


def alert_object(row: AlertRow) -> dict[str, Any]:
    """An alert with its words."""
    asset = ASSETS_BY_NUMBER[row.asset]
    available = format_units(row.available, asset)
    if row.kind == EXPIRY:
        title, detail = (
            f"券将在 {row.threshold} 天内到期，尚余 {available} {asset.code}",
            f"the voucher ends within {row.threshold} days with {available} {asset.code} left",
        )
    else:
        title, detail = (
            f"券已用 {row.threshold}%，尚余 {available} {asset.code}",
            f"{row.threshold} % of the voucher is used, {available} {asset.code} left",
        )
    return {
        "number": row.number,
        "kind": row.kind,
        "threshold": row.threshold,
        "voucher": row.voucher,
        "scheme": row.scheme,
        "holder": row.holder,
        "unit": asset.code,
        "available": available,
        "valid_until": rfc3339(row.until_us),
        "noticed_at": rfc3339(row.noticed_us),
        "title": title,
        "detail": detail,
    }
