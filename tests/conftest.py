"""What every test run shares: one seed, no network beyond loopback, and a report of what the run really did."""

from __future__ import annotations

import gc
import ipaddress
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

import hypothesis
import pytest
import sqlalchemy.event

from tests.back_ends import Databases, Files, OwnServer

ALL = os.environ.get("SUANQUAN_TEST_ALL") == "1"
LONG_S = 3600
"""Limit of a test with `--all`: ten times the examples of the ordinary run do not fit into its 240 seconds."""

hypothesis.settings.register_profile(
    "suanquan",
    hypothesis.settings.get_profile("default"),
    deadline=None,  # two processes share two cores: a slow example says nothing
    derandomize=False,  # the seed is printed, so a run can be repeated
    max_examples=1000 if ALL else 100,
)
hypothesis.settings.load_profile("suanquan")

_back_ends: set[str] = set()


@pytest.fixture(scope="session")
def seed() -> int:
    """The run's one seed, for tests that draw their own random numbers."""
    return int(os.environ.get("SUANQUAN_TEST_SEED", "0"))


@pytest.fixture(scope="session")
def databases():
    """A PostgreSQL server for this test process; tests that need one are skipped where none can be had."""
    if url := os.environ.get("SUANQUAN_TEST_PG"):
        yield Databases(url, None)
        return
    try:
        own = OwnServer()
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as fault:
        pytest.skip(f"no PostgreSQL server: {type(fault).__name__}: {fault}")
    yield Databases(own.url, own)
    own.stop()


@pytest.fixture(scope="session")
def blank_places():
    """Databases that were made once, to be copied: by kind and maker."""
    return {}


@pytest.fixture(params=["sqlite", "postgresql"])
def back_end(request, tmp_path):
    """Both kinds of database in turn."""
    return Files(tmp_path) if request.param == "sqlite" else request.getfixturevalue("databases")


@pytest.fixture
def made_once(back_end, blank_places, tmp_path_factory):
    """`made_once(make)` is the place of a database which `make(place)` filled, once a run.

    Whoever changes it takes that back; `make` must leave no connection open, nor must others, for it is copied.
    """

    def find(make):
        key = back_end.name, f"{make.__module__}.{make.__qualname__}"
        if key not in blank_places:
            keep = Files(tmp_path_factory.mktemp("blank")) if isinstance(back_end, Files) else back_end
            place = keep.create(f"blank_{len(blank_places)}")
            with ThreadPoolExecutor(1) as thread:  # it may run a loop of its own
                thread.submit(make, place).result()
            blank_places[key] = place
        return blank_places[key]

    return find


@pytest.fixture
def new_database(back_end, made_once):
    """`new_database()` is the place of an empty database; `new_database(make)` that of a copy of `made_once(make)`."""
    made = []

    def new(make=None):
        template = made_once(make) if make is not None else None
        made.append(back_end.create(f"new_{len(made)}", template))
        return made[-1]

    yield new
    for place in made:
        back_end.drop(place)


def _is_here(host: str) -> bool:
    if host in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse_the_network(event: str, arguments: tuple) -> None:
    """An audit hook: a test that reaches beyond loopback fails at once, here as on a closed network."""
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[:1]
    else:
        return
    if isinstance(address, tuple) and isinstance(address[0], str) and not _is_here(address[0]):
        raise RuntimeError(f"a test may not reach {address[0]}: only loopback is open")


sys.addaudithook(_refuse_the_network)


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "engine_connect")
def _note_back_end(connection: sqlalchemy.Connection) -> None:
    version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
    _back_ends.add(f"{connection.dialect.name} {version}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    """Sends what this process connected to along with the report, so that a parallel run can add it up."""
    if call.when == "teardown":
        item.user_properties.extend(("back end", name) for name in sorted(_back_ends))
        _back_ends.clear()


DRAWN = (
    *("test_custody.py", "test_docs.py::test_every_command_runs", "test_benchmarks.py"),
    *("test_keys_reach_everything", "test_every_chart_is_drawn", "test_demo_scene.py", "test_offline_page.py"),
    *("test_demo.py::test_killed_at_any_moment", "test_verify.py::test_a_changed_value", "test_properties.py"),
    *("test_decisions.py", "test_log_export.py", "suanquan/test_round.py", "test_crash_points.py", "test_books.py"),
    *("test_trail.py", "test_procedure.py", "test_audit_http.py", "suanquan/test_cli.py", "suanquan/test_stream.py"),
    *(
        "suanquan/test_log.py",
        "suanquan/test_witness.py",
        "suanquan/test_ingest.py",
        "test_holds_http.py",
        "test_intake.py",
        "test_trace_kills.py",
    ),
    *("test_advice.py", "test_keys.py", "test_canaries.py", "contracts/test_settlement.py", "test_portal_office.py"),
    *("test_portal_states.py", "test_portal_money.py", "test_portal_work.py", "suanquan/test_ux_", "test_limits.py"),
    *("contracts/test_schema.py", "test_subsidy_cli.py", "test_portal_pages.py"),
    *("test_simulation.py", "suanquan/test_kill.py", "test_big_files.py", "test_same_log.py", "test_camera_browser.py"),
    *(
        "test_audit_witness.py",
        "test_retention.py",
        "test_injection.py",
        "test_replay.py",
        "suanquan/test_settlement.py",
        "test_agent_keys.py",
        "test_the_work_of_another",
        "test_a_hundred_gigabytes",
    ),
)
"""Slow tests that come in many: an ordinary run takes the fifth that its seed draws, `--all` takes all."""
WHOLE = 4_000
"""With fewer tests somebody has chosen what to run."""


def pytest_collection_modifyitems(config, items):
    """The type check and the whole story take longest, so they start first. Long counts take longer than the limit of the ordinary run."""
    items.sort(key=lambda item: item.path.name not in {"test_tidy.py", "test_story_browser.py"})
    for item in items if ALL else ():
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG_S))
    if not ALL and len(items) >= WHOLE:
        out = {item for item in items if any(part in item.nodeid for part in DRAWN) and not _is_drawn(item.nodeid)}
        config.hook.pytest_deselected(items=list(out))
        items[:] = [item for item in items if item not in out]


def _is_drawn(nodeid: str) -> bool:
    return crc32(f"{os.environ.get('SUANQUAN_TEST_SEED', '0')} {nodeid}".encode()) % 5 == 0


def pytest_collection_finish():
    """What is loaded now stays; the collector need not walk it, nor so often: it is no slower in the service."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_terminal_summary(terminalreporter):
    """Prints why tests were skipped, the seed, and the database back ends that tests really spoke to."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    skipped = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ()))
    used = Counter(
        value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "back end"
    )
    terminalreporter.section("what this run did")
    for reason, count in sorted(skipped.items()):
        terminalreporter.line(f"{count} skipped: {reason.removeprefix('Skipped: ')}")
    terminalreporter.line(f"seed: SUANQUAN_TEST_SEED={os.environ.get('SUANQUAN_TEST_SEED', '0')}")
    for name, count in sorted(used.items()):
        terminalreporter.line(f"back end: {name} in {count} tests")
