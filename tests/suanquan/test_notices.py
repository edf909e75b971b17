"""Alerts once per threshold, forecasts from the ledger, disputes of lines: over HTTP and by command, on both databases."""

import asyncio
import contextlib
import json

import pytest

from metering.notice_store import load_alerts
from suanquan.db.tokens import create_token
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases.alerts import give_alerts
from suanquan.use_cases.forecast import account_forecast, voucher_forecast
from tests.suanquan.command import suanquan
from tests.suanquan.harness import (
    HOUR_MS,
    PASSPHRASE,
    Agent,
    ThreadedService,
    assert_problem,
    figures_of,
    give,
    install,
    request,
    usage,
)
from tests.suanquan.test_truth import Desk
from voucher.alerts import DAY_US, Standing, due
from voucher.holder import sandbox_uscc

SOURCE = "urn:centre:sj01:agent:test"


def standing(available, left_us, amount=100):
    return Standing("v", "s", "h", 1, amount, available, left_us)


def crossed(*arguments, **options):
    return [(one.kind, one.threshold) for one in due(standing(*arguments, **options), 0, [80, 95, 100], [1, 7, 30])]


def test_a_threshold_is_crossed_at_its_number():
    """80 % at 20 left, not at 21; thirty days to the instant; an empty voucher has no end worth telling, one that is over nothing."""
    far = 400 * DAY_US
    assert crossed(21, far) == []
    assert crossed(20, far) == [("used", 80)]
    assert crossed(0, far) == [("used", 80), ("used", 95), ("used", 100)]
    assert crossed(100, 30 * DAY_US) == [("expiry", 30)]
    assert crossed(100, 30 * DAY_US + 1) == []
    assert crossed(100, DAY_US) == [("expiry", 1), ("expiry", 7), ("expiry", 30)]
    assert crossed(0, DAY_US) == [("used", 80), ("used", 95), ("used", 100)]
    assert crossed(0, 0) == crossed(0, far, amount=0) == []


class Clock:
    """A clock that is set by hand; nanoseconds."""

    def __init__(self, now_us):
        self.now_us = now_us
        self._ticks = 0

    def __call__(self):
        self._ticks += 1
        return self.now_us * 1000 + self._ticks


@pytest.fixture
def days(back_end, new_database, tmp_path):
    """A desk on either database whose days pass as they are told to."""
    place = None if back_end.name == "sqlite" else new_database()
    clock = Clock(1_800_000_000_000_000)
    home = install(tmp_path / "dated", Settings(sandbox=True, database_url=place.url if place else ""), clock).home
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        service = runner.run(stack.enter_async_context(open_service(home, PASSPHRASE, clock)))
        yield runner.run, Desk(service), clock
        runner.run(stack.aclose())


def test_spending_is_forecast_and_alerted_once(days):
    """Two hours a day of 720 yuan: 30 days; thresholds are told once, also after a correction brought the balance back."""
    run, desk, clock = days

    async def work():
        stored = await give(desk.service, sandbox_uscc(1), "720", accounts=["covered"])
        assert not (await _forecast(desk, stored.jti))["forecast"]["known"]
        for day in range(24):
            clock.now_us += DAY_US
            await desk.report(usage(day, account="covered", active_ms=HOUR_MS, cards_milli=2000))
            await give_alerts(desk.service)
            if day == 9:
                soon = await _forecast(desk, stored.jti)
        assert (soon["forecast"]["spent"], soon["forecast"]["days_left"]) == ("216.000000", 20)
        assert soon["forecast"]["known"]
        late = await _forecast(desk, stored.jti)
        assert (late["available"], late["forecast"]["days_left"]) == ("144.000000", 6)
        assert late["forecast"]["earliest"] == late["forecast"]["runs_out"] == late["forecast"]["latest"]
        async with desk.service.database.read() as connection:
            told = [(row.kind, row.threshold, row.available) for row in await load_alerts(connection, 0, 100)]
            whole = await account_forecast(connection, "sj01", "covered", desk.service.now_us)
        assert told == [("used", 80, 144_000_000)]
        assert whole["units"][0]["forecast"] == late["forecast"]
        assert await give_alerts(desk.service) == 0

    run(work())


async def _forecast(desk, jti):
    async with desk.service.database.read() as connection:
        return await voucher_forecast(connection, jti, desk.service.now_us)


@pytest.fixture
def disputed(installation):
    """A service with a line, and how an officer asks it."""
    with ThreadedService(installation.home) as running:
        running.call(give(running.service, sandbox_uscc(1), "100", accounts=["covered"]))
        assert Agent(running.url).report_records([usage(1, account="covered"), usage(2)]).status == 200

        def ask(method, path, body=None):
            headers = {"authorization": f"Bearer {installation.token}", "content-type": "application/json"}
            return request(running.url, method, path, body and json.dumps(body).encode(), headers)

        yield running, ask, installation


LINE = {"centre": "sj01", "account": "covered", "source": SOURCE, "record": usage(1).id, "reason": "没有运行过"}


def test_a_line_is_disputed_answered_and_decided_by_another(disputed):
    """Each step says who and when, marks the line, stands in the log; money does not move."""
    running, ask, installation = disputed
    before = running.figures()
    opened = ask("POST", "/v1/usage/disputes", LINE).content
    assert (opened["dispute"], opened["state"], len(opened["steps"])) == (1, "open", 1)
    lines = ask("GET", "/v1/statements/sj01/covered").content["lines"]
    assert [line["dispute"] for line in lines] == [{"number": 1, "state": "open"}]
    assert "dispute" not in ask("GET", "/v1/statements/sj01/alone").content["lines"][0]
    assert_problem(ask("POST", "/v1/usage/disputes", LINE), 409, "dispute-open")
    assert_problem(ask("POST", "/v1/usage/disputes/1/uphold", {"reason": "x"}), 409, "dispute-state")
    assert ask("POST", "/v1/usage/disputes/1/answer", {"reason": "日志附后"}).content["state"] == "answered"
    assert_problem(ask("POST", "/v1/usage/disputes/1/uphold", {"reason": "x"}), 403, "four-eyes")
    home = ("--home", installation.home.path, "--json")
    by = ("--officer", "李四", "--reason", "日志为证")
    done = suanquan("usage", "dispute", "refuse", "1", *by, *home, cwd=installation.home.path)
    assert done.json["state"] == "refused"
    assert [step["state"] for step in ask("GET", "/v1/usage/disputes/1").content["steps"]] == [
        "open",
        "answered",
        "refused",
    ]
    assert ask("GET", "/v1/usage/disputes?state=open").content["disputes"] == []
    assert ask("GET", "/v1/statements/sj01/covered").content["lines"][0]["dispute"]["state"] == "refused"
    assert ask("POST", "/v1/usage/disputes", LINE).content["dispute"] == 2, "new evidence may come"
    after = running.figures()
    assert (after.balances, after.entries) == (before.balances, before.entries + 4)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"record": "nothing"}, 404, "record-unknown"),
        ({"account": "alone"}, 404, "record-unknown"),
        ({"centre": "sj02"}, 404, "record-unknown"),
        ({"source": "urn:centre:sj01:agent:other"}, 404, "record-unknown"),
        ({"reason": ""}, 422, "request-invalid"),
        ({"reason": "  "}, 422, "reason-missing"),
    ],
)
def test_only_a_line_of_the_account_is_disputed(disputed, change, status, code):
    """A record that is not there, or another account's, is refused; so is a dispute without a reason."""
    assert_problem(disputed[1]("POST", "/v1/usage/disputes", LINE | change), status, code)


def test_a_holder_disputes_its_own_usage(disputed):
    """Another's line is as one that is not there; a holder answers and decides no dispute."""
    running, _, _ = disputed

    def ask(number, path, body):
        async def grant():
            async with running.service.database.write() as conn:
                return await create_token(conn, "beneficiary_member", f"t-{number}", 0, tenant=sandbox_uscc(number))

        headers = {"authorization": f"Bearer {running.call(grant())}", "content-type": "application/json"}
        return request(running.url, "POST", path, json.dumps(body).encode(), headers)

    foreign = ask(2, "/v1/usage/disputes", LINE)
    assert_problem(foreign, 404, "record-unknown")
    missing = ask(1, "/v1/usage/disputes", LINE | {"record": "nothing"})
    assert (missing.status, missing.content["detail"]) == (404, foreign.content["detail"])
    assert ask(1, "/v1/usage/disputes", LINE).content["steps"][0]["who"] == "t-1"
    assert_problem(ask(1, "/v1/usage/disputes/1/answer", {"reason": "x"}), 403, "not-permitted")


def test_what_is_not_there_is_said(disputed):
    """Unknown disputes and vouchers; alerts and forecasts need a token."""
    running, ask, installation = disputed
    assert_problem(ask("GET", "/v1/usage/disputes/7"), 404, "dispute-unknown")
    assert_problem(ask("POST", "/v1/usage/disputes/7/answer", {"reason": "x"}), 404, "dispute-unknown")
    assert_problem(ask("GET", "/v1/vouchers/none/forecast"), 404, "voucher-unknown")
    for path in ("/v1/alerts", "/v1/usage/disputes", "/v1/forecasts/sj01?account=covered"):
        assert ask("GET", path).status == 200
        assert_problem(request(running.url, "GET", path), 401, "token-required")
    home = ("--home", installation.home.path, "--json")
    done = suanquan("usage", "alerts", "--due", *home, cwd=installation.home.path)
    assert done.json["alerts"] == []
    done = suanquan("usage", "forecast", "--centre", "sj01", "--account", "covered", *home, cwd=installation.home.path)
    assert done.json["units"][0]["forecast"] == {"known": False}
    assert figures_of(installation.home).records == 2
