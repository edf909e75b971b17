"""Tiers, discounts, cost classes and classes that no voucher pays: from the price list to quote, debit, statement and export."""

from __future__ import annotations

import csv
import datetime as dt
import itertools
import json
from decimal import Decimal
from random import Random

import pytest

from ledger.amount import CNY, format_units, parse_units
from ledger.scope import EVERYTHING
from metering.accelerators import load_accelerators
from metering.batch import batch_of
from metering.bill import bill_of
from metering.corrections import Correction
from metering.errors import MeteringError
from metering.model import Accelerator
from metering.prices import load_prices
from metering.rating import rate
from metering.zones import SHANGHAI
from suanquan.catalog import ACCELERATORS, PRICES, Catalog
from suanquan.use_cases.exports import write_export
from suanquan.use_cases.quote_usage import Run, quote_usage
from suanquan.use_cases.statement import statement
from tests.shared_data import ROOT
from tests.suanquan.harness import HOUR_MS, NOON_US, give, usage
from tests.suanquan.test_truth import desk_on
from voucher.holder import sandbox_uscc

ITEMISED = """
[[price]]
model = "A100"
yuan_per_gpu_hour = "12.00"
tiers = [{ from_gpus = 8, yuan_per_gpu_hour = "10.00" }, { from_gpus = 64, yuan_per_gpu_hour = "8.00" }]
discount_percent = 10
discount_basis = "框架协议 invented"
classes = { compute = "9.00", storage = "1.20", network = "0.60", energy = "1.20" }
self_pay = ["storage", "network"]
from = 2015-01-01
basis = "虚构 invented"

[[price]]
model = "H100-SXM"
yuan_per_gpu_hour = "24.00"
from = 2015-01-01
basis = "虚构 invented"
"""
MODELS = {"A100", "H100-SXM"}


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request, tmp_path):
    """A desk whose centre charges itemised prices, on either database."""
    yield from desk_on(request, tmp_path, lambda home: (home.config / PRICES).write_text(ITEMISED, encoding="utf-8"))


def price(count_milli):
    [found] = load_prices(ITEMISED.encode(), PRICES, MODELS).intervals("sj01", "A100")
    return found.parts.net_price(count_milli), found.parts.own_price(count_milli)


def test_the_size_of_a_run_decides_its_tier():
    """7.999 cards cost 10.80 an hour each, 8 cost 9.00, 64 cost 7.20. Wrong: the first 7 of 8 at the first tier's price."""
    assert [price(count)[0] for count in (1, 7_999, 8_000, 63_999, 64_000, 10**8)] == [
        10_800_000, 10_800_000, 9_000_000, 9_000_000, 7_200_000, 7_200_000,
    ]  # fmt: skip


def test_some_of_a_price_is_for_the_user_alone():
    """Storage and network are 1.80 of 12.00: the same share of what is left after tier and discount."""
    assert [price(count)[1] for count in (1000, 8_000, 64_000)] == [1_620_000, 1_350_000, 1_080_000]


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ('"9.00", storage', '"9.01", storage', "add up"),
        ('["storage", "network"]', '["storage", "parking"]', "names classes"),
        ('["storage", "network"]', '["storage", "storage"]', "once"),
        ("from_gpus = 64", "from_gpus = 8", "ascend"),
        ("from_gpus = 64", 'from_gpus = "64"', "tiers"),
        ("discount_percent = 10", "discount_percent = 100", "discount_percent"),
        ("discount_percent = 10\n", "discount_percent = 10\nloyalty = 1\n", "loyalty"),
        ('discount_basis = "框架协议 invented"', "", "discount_basis"),
        ('"8.00" }', '"8.000001" }', "whole millionth"),
        ("classes = {", "costs = {", "give them"),
        ("network = ", "parking = ", "classes has members"),
    ],
)
def test_a_price_that_does_not_add_up_is_refused(wrong, right, said):
    """The message names the file, the entry and what is wrong with it."""
    with pytest.raises(MeteringError, match=said) as refused:
        load_prices(ITEMISED.replace(wrong, right, 1).encode(), PRICES, MODELS)
    assert f"{PRICES} #1 A100" in str(refused.value)


def runs(random, count):
    """Records of one or two models, some of them at the edge of a tier at the same time, each for an account of its own."""
    for number in range(count):
        cards = [Accelerator("A100", random.choice([1, 333, 7_999, 8_000, 8_001, 64_000, random.randint(1, 99_999)]))]
        cards += [Accelerator("H100-SXM", random.randint(1, 9_000))] if random.random() < 0.3 else []
        active_ms = random.choice([1, 999, HOUR_MS, random.randint(1, 9 * HOUR_MS)])
        yield usage(
            number, account=f"lab{number}", end_us=NOON_US + active_ms * 1000, active_ms=active_ms,
            accelerators=tuple(cards),
        )  # fmt: skip


def test_a_bill_is_what_is_rated(seed):
    """Explained one by one, rated in a batch: the same price and the same own part; classes add up to the last unit."""
    cards = load_accelerators((ROOT / "config" / ACCELERATORS).read_bytes(), ACCELERATORS)
    tariffs = Catalog({}, cards, load_prices(ITEMISED.encode(), PRICES, MODELS), b"").tariffs("sj01")
    records = list(runs(Random(seed), 300))
    rated = rate(batch_of(records), tariffs, range(len(records)))
    for place, record in enumerate(records):
        bill = bill_of(record, tariffs)
        assert (bill.yuan, bill.own) == (rated.yuan[place], rated.own[place])
        assert sum(bill.classes.values()) == bill.yuan <= bill.list_yuan
        assert sum(bill.excluded.values()) == bill.own
        assert all(bill.classes[name] >= units for name, units in bill.excluded.items())


def test_what_vouchers_may_not_pay_is_paid_by_the_account(desk, seed, tmp_path):
    """Quote, debit, statement and export say the same; voided and said again nothing has changed. Wrong: the voucher pays all."""
    random, numbers = Random(seed), itertools.count(1)

    async def work(here):
        service, records, own = here.service, list(runs(random, 6)), 0
        for record in records:
            unit, amount = random.choice([("CNY", "9000"), ("CNY", "3.3"), ("PFLOPS.h", "40"), ("PFLOPS.h", "0.05")])
            await give(service, sandbox_uscc(next(numbers)), amount, unit=unit, accounts=[record.account])
        quotes = [
            await quote_usage(service.journal, service.rules, Run("sj01", one.account, cards, NOON_US, one.active_ms))
            for one in records
            for cards in [tuple((part.model, part.count_milli) for part in one.accelerators)]
        ]
        assert set(await here.report(*records)) == {"accepted"}
        found = await here.figures()
        for record, quoted in zip(records, quotes, strict=True):
            bill = bill_of(record, service.rules.tariffs("sj01"))
            own += bill.own
            paid = found.self_pay.get(f"sj01/{record.account}", 0)
            assert paid == parse_units(quoted["self_pay_yuan"], CNY) >= bill.own
            assert quoted["excluded_yuan"] == format_units(bill.own, CNY)
            async with service.database.read() as connection:
                shown = await statement(connection, service.catalog, EVERYTHING, "sj01", record.account, 2**62)
            [line] = shown["lines"]
            assert [line[name] for name in ("yuan", "list_yuan", "excluded_yuan", "classes")] == [
                quoted[name] for name in ("yuan", "list_yuan", "excluded_yuan", "classes")
            ]
        assert own > 0
        first = records[0]
        assert await here.correct(Correction(first.id, 1, None), Correction(first.id, 2, first)) == ["accepted"] * 2
        again = await here.figures()
        assert (again.balances, again.usage, again.self_pay) == (found.balances, found.usage, found.self_pay)
        shanghai = dt.datetime.fromtimestamp(service.now_us // 1_000_000, SHANGHAI)
        path = tmp_path / "focus.csv"
        await write_export(service, shanghai.year * 100 + shanghai.month, "focus-csv", path)
        return found, list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())), records, service

    found, rows, records, service = desk(work)
    assert sum(Decimal(row["ContractedCost"]) for row in rows) * 10**CNY.scale == found.rated
    assert sum(Decimal(row["BilledCost"]) for row in rows) * 10**CNY.scale == sum(found.self_pay.values())
    bills = [bill_of(record, service.rules.tariffs("sj01")) for record in records]
    assert sum(Decimal(row["ListCost"]) for row in rows) * 10**CNY.scale == sum(bill.list_yuan for bill in bills)
    for row in rows:
        classes = json.loads(row["x_CostClasses"])
        assert sum(map(Decimal, classes.values())) == Decimal(row["ContractedCost"])
        assert not row["CommitmentDiscountId"] or not {"storage", "network"} & classes.keys(), "a voucher paid storage"
    stored = sum(Decimal(json.loads(row["x_CostClasses"]).get("storage", 0)) for row in rows)
    assert stored * 10**CNY.scale == sum(bill.classes.get("storage", 0) for bill in bills)


@pytest.mark.parametrize("desk", ["sqlite"], indirect=True)
def test_equal_times_at_a_tiers_edge_cost_the_same_in_any_order(desk, seed):
    """Two runs that begin at once, 7.999 and 8 cards: 86.3892 and 72 yuan, together or apart. Wrong: three times, or by order."""

    async def work(here):
        pairs = [(Accelerator("A100", 7_999),), (Accelerator("A100", 8_000),)] * 3
        records = [usage(n, account=f"edge{n}", accelerators=cards) for n, cards in enumerate(pairs)]
        Random(seed).shuffle(records)
        assert set(await here.report(*records[:4])) == {"accepted"}
        for record in (*records[4:], records[0]):
            await here.report(record)
        found = await here.figures()
        assert found.self_pay == {f"sj01/edge{n}": (86_389_200, 72_000_000)[n % 2] for n in range(6)}
        assert found.rated == 3 * (86_389_200 + 72_000_000)

    desk(work)
