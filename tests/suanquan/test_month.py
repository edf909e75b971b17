"""A month as it is exported and stated: rows that add up to the books, with who paid and where it is proved."""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from ledger.amount import CNY, parse_units
from ledger.scope import EVERYTHING
from ledger.store import load_entries
from metering.centre import Energy
from metering.corrections import Correction
from metering.grid import load_factors
from metering.sight_store import put_hours
from metering.telemetry import PoolHour
from metering.zones import SHANGHAI
from suanquan.use_cases.centres import Said as Registered
from suanquan.use_cases.centres import register_energy
from suanquan.use_cases.exports import write_export
from suanquan.use_cases.month_statement import month_statement
from suanquan.use_cases.statement import statement
from tests.suanquan.harness import HOUR_MS, NOON_US, SCHEME, give, usage
from tests.suanquan.test_truth import desk  # noqa: F401 -- a fixture
from voucher.holder import sandbox_uscc

FACTOR = '[[factor]]\ngrams_per_kwh = "500"\nfrom = 2025-01-01\nbasis = "某公告"\n'.encode()


async def check_lines(here):
    """A line has the energy of its own cards, 2 kWh a card-hour; one that an hour nobody saw belongs to has none."""
    late = usage(9, account="paid", end_us=NOON_US + 2 * HOUR_MS * 1000)
    assert await here.report(late) == ["accepted"]
    async with here.service.database.read() as connection:
        page = await statement(connection, here.service.catalog, EVERYTHING, "sj01", "paid", 2**62)
    shown = {line["id"]: line for line in page["lines"] + page["settled"]}
    cards = 903 * HOUR_MS
    assert shown[usage(3).id]["energy_wh"] == f"{cards * 2 / HOUR_MS:.3f}"
    assert shown[usage(3).id]["carbon_g"] == f"{cards * 3 / 2 / HOUR_MS:.3f}"
    assert shown[late.id]["energy_wh"] is None


async def check_months(here, month, jti):
    """Statements of the month add up to the books, and name entries that are in the log."""
    found = await here.figures()
    hour = PoolHour("A100", NOON_US, 0, 10 * HOUR_MS, 72_000_000_000)
    async with here.service.database.write() as connection:
        await put_hours(connection, "sj01", "monitor", [hour], 0)
    reading, said = Energy("2025-03", 150, 100, 60), Registered("甲", 0, "0" * 64)
    await register_energy(here.service.journal, "sj01", reading, said)
    for account in ("paid", "kind", "alone"):
        shown = await month_statement(here.service, EVERYTHING, "sj01", account, month)
        rows = [row for (name, _), row in found.usage.items() if name == account]
        assert shown["gpu_ms"] == sum(row["gpu_ms"] for row in rows)
        assert parse_units(shown["yuan"], CNY) == sum(row["rated_units"] for row in rows)
        assert parse_units(shown["self_pay_yuan"], CNY) == found.self_pay.get(f"sj01/{account}", 0)
        assert sum(Decimal(units) for units in shown["classes"].values()) == Decimal(shown["yuan"])
        assert set(shown["paid_by"]) == {"paid": {jti}, "kind": {SCHEME}, "alone": set()}[account]
        assert all(row["prior_period"] for row in shown["rows"]), "usage of 2025"
        events = [bytes.fromhex(event) for row in shown["rows"] for event in row["events"]]
        async with here.service.database.read() as connection:
            assert events
            assert set(await load_entries(connection, events)) == set(events)
        assert shown["energy"] is None, "nothing was measured in this month"
    then = await month_statement(here.service, EVERYTHING, "sj01", "paid", 202503)
    used = sum(row["gpu_ms"] for (of, _), row in found.usage.items() if of == "paid")
    own = used * 2000 // HOUR_MS
    known = {
        "equipment_wh": str(own), "facility_wh": str(own * 3 // 2), "green_wh": str(int(own * Fraction(3, 2) * Fraction(2, 5))),
        "measured_gpu_ms": used, "used_gpu_ms": used,
    }  # fmt: skip
    assert then["energy"] == known | {"carbon_g": None, "carbon_basis": None}, "no factor is registered"
    here.service.catalog = replace(here.service.catalog, grid=load_factors(FACTOR, "grid/factors.toml"))
    carbon = (await month_statement(here.service, EVERYTHING, "sj01", "paid", 202503))["energy"]
    assert (carbon["carbon_basis"], Decimal(carbon["carbon_g"])) == (
        "某公告",
        Decimal(used * 3 // 2 * 10**6 // HOUR_MS) / 1000,
    )
    assert (then["rows"], then["gpu_ms"]) == ([], 0), "it was booked now"


def test_a_month_is_exported_with_its_corrections(desk, tmp_path):  # noqa: F811
    """Reports, a checkpoint that grew, a void and a revision: the rows add up to the books, by payer, in GPU time and yuan."""

    async def work(here):
        stored = await give(here.service, sandbox_uscc(1), "20.000001", accounts=["paid"])
        await give(here.service, sandbox_uscc(2), "5", accounts=["kind"], unit="PFLOPS.h")
        running = usage(8, account="paid", end_us=NOON_US + 60_000_000, active_ms=60_000, final=False, state="RUNNING")
        await here.report(*(usage(n, account=["paid", "kind", "alone"][n % 3], cards_milli=900 + n) for n in range(6)))
        await here.report(running)
        await here.report(usage(8, account="paid"))
        assert await here.correct(Correction(usage(0).id, 1, None)) == ["accepted"]
        revised = usage(2, account="alone", active_ms=HOUR_MS // 4)
        assert await here.correct(Correction(usage(2).id, 1, revised)) == ["accepted"]
        shanghai = dt.datetime.fromtimestamp(here.service.now_us // 1_000_000, SHANGHAI)
        month, paths = shanghai.year * 100 + shanghai.month, {}
        for form in ("focus-csv", "csv"):
            paths[form] = tmp_path / form
            assert await write_export(here.service, month, form, paths[form]) > 0
        assert await write_export(here.service, month - 100, "csv", tmp_path / "none") == 0
        await check_months(here, month, stored.jti)
        found = await here.figures()
        await check_lines(here)
        return stored.jti, paths, found

    jti, paths, found = desk(work)
    plain, focus = (
        list(csv.DictReader(paths[form].read_text(encoding="utf-8").splitlines())) for form in ("csv", "focus-csv")
    )
    assert sum(int(row["gpu_ms"]) for row in plain) == found.gpu_ms
    assert sum(Decimal(row["list_yuan"]) for row in plain) * 10**CNY.scale == found.rated
    assert sum(Decimal(row["self_pay_yuan"]) for row in plain) * 10**CNY.scale == sum(found.self_pay.values())
    assert {row["voucher"] for row in plain} == {"", jti, SCHEME}
    assert sum(row["correction"] == "true" for row in plain) >= 3
    assert [row["ListCost"] for row in focus] == [row["list_yuan"] for row in plain]
    for row in focus:
        assert (row["ChargeClass"] == "Correction") == (row["ListCost"].startswith("-") or "Correction" in row.values())
        assert row["ResourceID"] == row["ResourceId"]
