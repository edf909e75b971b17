"""A sandbox's clock set forwards by a command: the running service follows, and agents outside need not know."""

import datetime as dt
import time

import pytest

from suanquan.clock import AHEAD_DAYS_MAX, SandboxClock, parse_span, read_ahead, wall_ns
from suanquan.errors import ServiceError
from suanquan.http.routes import get_metrics
from suanquan.jobs import running_jobs
from suanquan.settings import Settings
from tests.suanquan.command import suanquan
from tests.suanquan.harness import SCHEME, Agent, ThreadedService, give, install
from voucher.holder import sandbox_uscc

DEADLINE_S = 60


def shown(installation, *arguments):
    return suanquan(
        "sandbox", "clock", *arguments, "--home", str(installation.home.path), "--json", cwd=installation.home.path
    )


async def jobs_of(running):
    await running._stack.enter_async_context(running_jobs(running.service))


def test_the_running_service_follows(installation):
    """Ten years on the voucher is closed, days are later, agents still report, and the audit log says who did it."""
    with ThreadedService(installation.home) as running:
        service = running.service
        running.call(give(service, sandbox_uscc(1), "100", accounts=["alone"]))
        running.call(jobs_of(running))
        today = service.proceedings.today
        answer = shown(installation, "advance", "3650d")
        assert answer.status == 0, answer
        line = f'voucher_budget_yuan{{scheme="{SCHEME}",state="expired"}} 100.0'
        deadline = time.monotonic() + DEADLINE_S
        while line not in running.call(get_metrics(service, {})).body.decode():
            assert time.monotonic() < deadline, "the voucher was not closed"
            time.sleep(0.1)
        assert service.proceedings.today - today >= dt.timedelta(days=3650)
        agent = Agent(running.url)
        assert agent.report(agent.event(1)).statuses == ["accepted"]
        assert abs(service.wall_us - time.time_ns() // 1000) < 10_000_000
    listed = suanquan("audit", "list", "--home", str(installation.home.path), "--json", cwd=installation.home.path)
    assert '"cli.sandbox.clock.advance"' in listed.out
    assert "3650d -> 20" in listed.out


def test_it_goes_forwards_only_and_not_for_ever(installation):
    """A second advance adds up; what is no span, and what leads too far, changes nothing."""
    assert shown(installation, "advance", "12h").status == 0
    assert shown(installation, "advance", "30d").status == 0
    assert read_ahead(installation.home.sandbox_clock) == 30 * 86_400 + 43_200
    for wrong in ("-1d", "0d", "30", "1w", "d", "1.5d", f"{AHEAD_DAYS_MAX}d"):
        assert shown(installation, "advance", "--", wrong).status == 2, wrong
    assert read_ahead(installation.home.sandbox_clock) == 30 * 86_400 + 43_200


def test_a_real_home_refuses(tmp_path):
    """Neither shows nor sets it; and a file that somebody puts there is not looked at."""
    made = install(tmp_path / "home", Settings(sandbox=False))
    made.home.sandbox_clock.write_text('{"ahead_s": 864000}')
    for arguments in (["show"], ["advance", "1d"]):
        answer = shown(made, *arguments)
        assert answer.status == 5, answer
    with ThreadedService(made.home) as running:
        assert abs(running.service.now_us - time.time_ns() // 1000) < 10_000_000


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"ahead_s": "1"}', '{"ahead_s": -1}', '{"ahead_s": 1e99}'])
def test_a_damaged_file_is_said(tmp_path, text):
    """Where and what to do, instead of a day that nobody meant."""
    file = tmp_path / "clock.json"
    file.write_text(text)
    with pytest.raises(ServiceError) as refused:
        read_ahead(file)
    assert refused.value.code == "clock-malformed"
    assert str(file) in refused.value.zh


def test_spans_and_clocks(tmp_path):
    """Units, the file's span on top of the system's clock, and the time outside."""
    assert [parse_span(text) for text in ("30d", "12h", "90m", "45s")] == [2_592_000, 43_200, 5_400, 45]
    file = tmp_path / "clock.json"
    file.write_text('{"ahead_s": 86400}')
    clock = SandboxClock(file)
    assert abs(clock() - time.time_ns() - 86_400_000_000_000) < 10_000_000_000
    assert abs(wall_ns(clock) - time.time_ns()) < 10_000_000_000
