"""What usage was rated by does not change any more: an edition of the registers that would rewrite it is refused."""

from __future__ import annotations

import pytest

from ledger.errors import DomainError
from metering.edition_store import newest_edition
from suanquan.catalog import ACCELERATORS, PRICES, load_catalog
from suanquan.use_cases.editions import check_edition
from tests.suanquan.harness import usage
from tests.suanquan.test_truth import desk  # noqa: F401 -- a fixture

A100_PRICE = 'model = "A100"\nyuan_per_gpu_hour = "12.00"\nfrom = 2015-01-01\n'
LATER = A100_PRICE + "to = 2035-01-01\n"
RISEN = 'basis = "x"\n\n[[price]]\nmodel = "A100"\nyuan_per_gpu_hour = "13.00"\nfrom = 2035-01-01\n'


REWRITES = [
    (PRICES, '"12.00"', '"12.01"', "price A100=12000000"),
    (PRICES, A100_PRICE, A100_PRICE.replace("2015-01-01", "2016-01-01"), "price A100=12000000"),
    (PRICES, A100_PRICE, 'centre = "sj01"\n' + A100_PRICE, "price A100=12000000"),
    (ACCELERATORS, "fp16_gflops = 312_000", "fp16_gflops = 312_001", "=312000"),
]
"""File, what it says, what it would say, and the fact that is named."""


def test_an_edition_that_rewrites_used_prices_is_refused(desk):  # noqa: F811
    """Another number, a later beginning, a centre's own price for the past: each is named. Later days may change."""

    async def begin(service, file, old, new):
        path = service.home.config / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
        try:
            await check_edition(service.journal, load_catalog(service.home.config), service.home.config)
            async with service.database.read() as connection:
                return (await newest_edition(connection)).number
        finally:
            path.write_text(text, "utf-8")

    async def work(here):
        service = here.service
        assert await here.report(usage(1)) == ["accepted"]
        await service.check_registers()
        for file, old, new, named in REWRITES:
            with pytest.raises(DomainError) as refused:
                await begin(service, file, old, new)
            assert refused.value.code == "register-rewritten"
            assert named in refused.value.en
            assert file in refused.value.zh
        assert await begin(service, PRICES, A100_PRICE, LATER + RISEN) == 2
        assert await begin(service, PRICES, A100_PRICE, LATER + RISEN) == 2, "the same again is no new edition"
        assert await begin(service, PRICES, "[[price]]", "# a remark\n[[price]]") == 3

    desk(work)


def test_before_any_usage_everything_may_change(desk):  # noqa: F811
    """Until something was rated, registers are drafts: prices change freely, words alone keep their meaning."""

    async def work(here):
        service = here.service
        await service.check_registers()
        path = service.home.config / PRICES
        path.write_text(path.read_text("utf-8").replace('"12.00"', '"9.00"'), "utf-8")
        await check_edition(service.journal, load_catalog(service.home.config), service.home.config)

    desk(work)
