"""What monitors saw reaches the service as evidence: signed, repeatable, waiting behind usage, and lost by no outage."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
import time
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from metering import sight_store
from metering.agent.config import load_config
from metering.agent.telemetry import Observer
from metering.telemetry import HOUR_US, DeviceRun, Hour
from suanquan.db.database import Database
from tests.suanquan.harness import Agent, ThreadedService, assert_problem, request

HOUR = "2025-03-01T12:00:00Z"
START_US = 1_740_830_400_000_000
SECOND_MS = 1000


@pytest.fixture(scope="module")
def service(template, tmp_path_factory):
    home = template.copy_to(tmp_path_factory.mktemp("telemetry") / "home").home
    with ThreadedService(home) as running:
        yield running


def post(service, content, centre="sj01", **changes):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    target = f"{service.url}/v1/usage/telemetry"
    headers = Agent(service.url, centre=centre).sign(
        body, target_uri=target, content_type="application/json", **changes
    )
    return request(service.url, "POST", "/v1/usage/telemetry", body, headers)


def report(**changes):
    hour = {"hour": HOUR, "model": "NVIDIA A100-SXM4-80GB", "busy_ms": 5, "seen_ms": 10, "energy_mj": 7}
    run = {
        "device": "GPU-1", "model": "A100", "account": "a", "job": "1", "start": HOUR, "end": "2025-03-01T12:30:00Z",
        "busy_ms": 5, "seen_ms": 10,
    }  # fmt: skip
    return {"source": "urn:centre:sj01:agent:test", "step_s": 60, "hours": [hour], "runs": [run]} | changes


def kept(home, from_us=START_US, until_us=START_US + HOUR_US):
    async def look():
        database = Database(home.database)
        async with database.read() as connection:
            hours = await sight_store.load_hours(connection, "sj01", from_us, until_us)
            runs = await sight_store.load_runs(connection, "sj01", from_us, until_us)
        await database.close()
        return hours, runs

    return asyncio.run(look())


def test_a_report_is_kept_under_the_registers_names_and_can_be_repeated(service):
    """Twice the same is once; a later report of an hour counts; a run that goes on keeps its start."""
    for _ in range(2):
        assert post(service, report()).content == {"hours": 1, "runs": 1}
    going = report()["runs"][0] | {"start": "2025-03-01T12:30:00Z", "end": "2025-03-01T12:45:00Z"}
    later = report(runs=[going])
    later["hours"][0]["busy_ms"] = 6
    assert post(service, later).status == 200
    hours, runs = kept(service.service.home)
    assert hours == {("A100", START_US): Hour(6, 10, 7)}
    assert runs == [DeviceRun("GPU-1", START_US, "a", "1", START_US + 45 * 60_000_000, "A100", 10, 20)]


def test_a_report_is_signed_and_sound(service):
    """Another's source, a used nonce, half hours, more busy than seen, times ahead: refused in documented words."""
    assert_problem(post(service, report(), keyid="nobody"), 401, "signature-key-unknown")
    foreign = report(source="urn:centre:sj02:agent:test")
    assert_problem(post(service, foreign), 403, "foreign-source")
    assert post(service, report(), nonce="n" * 30).status == 200
    assert_problem(post(service, report(), nonce="n" * 30), 401, "nonce-replayed")
    hour, run = report()["hours"][0], report()["runs"][0]
    for bad in (
        b"{",
        report(more=1),
        report(step_s=0),
        report(hours=[hour | {"hour": "2025-03-01T12:30:00Z"}]),
        report(hours=[hour | {"busy_ms": 11}]),
        report(hours=[hour | {"hour": "2999-01-01T00:00:00Z"}]),
        report(runs=[run | {"end": HOUR}]),
        report(runs=[run | {"device": "a\u0000"}]),
        report(runs=[run | {"start": "2025-03-01 12:00"}]),
    ):
        assert_problem(post(service, bad), 422, "telemetry-malformed")


class Prometheus(http.server.BaseHTTPRequestHandler):
    """A monitor that knows one card of one account, half busy, and remembers what it was asked."""

    asked: ClassVar[list[int]] = []

    def do_GET(self):
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.asked.append(int(query["start"]))
        times = range(int(query["start"]), int(query["end"]) + 1, int(query["step"].rstrip("s")))
        labels = {
            "__name__": "DCGM_FI_DEV_GPU_UTIL",
            "UUID": "GPU-7",
            "modelName": "A100",
            "namespace": "t",
            "pod": "p",
        }
        energy = labels | {"__name__": "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"}
        result = [
            {"metric": labels, "values": [[at, "50"] for at in times]},
            {"metric": energy, "values": [[at, str(at * 300)] for at in times]},
        ]
        body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def monitor():
    Prometheus.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_hours_of_a_monitor_wait_for_the_service_and_are_told_once(service, monitor, tmp_path):
    """Three hours are over: read while the service is away, sent when it is there, each hour whole, none asked for again."""
    now_s = int(time.time())
    first_s = now_s // 3600 * 3600 - 4 * 3600
    text = f"""base_url = "{{url}}"
centre = "sj01"
source = "urn:centre:sj01:agent:monitor"
key_file = "agent.pem"
spool = "agent.spool"
[telemetry]
url = "{monitor}"
since_s = {first_s}
grace_s = 0
"""
    config = tmp_path / "agent.toml"
    config.write_text(text.format(url="http://127.0.0.1:9"))
    key = Agent(service.url).key
    away = Observer(load_config(config), tmp_path, lambda: now_s)
    away.look()
    away.send(key)
    assert len(away.outbox.waiting) == 4
    config.write_text(text.format(url=service.url))
    back = Observer(load_config(config), tmp_path, lambda: now_s)
    back.look()
    back.send(key)
    assert not away.outbox.waiting
    assert [at - first_s for at in sorted(set(Prometheus.asked))] == [n * 3600 - 60 for n in range(4)]
    assert len(Prometheus.asked) == 4
    begin_us = first_s * 1_000_000
    hours, runs = kept(service.service.home, begin_us, begin_us + 4 * HOUR_US)
    whole = Hour(1800 * SECOND_MS, 3600 * SECOND_MS, 3600 * 300)
    assert hours == {("A100", begin_us + n * HOUR_US): whole for n in range(4)}
    assert runs == [
        DeviceRun("GPU-7", begin_us, "t", "p", begin_us + 4 * HOUR_US, "A100", 7200 * SECOND_MS, 14_400 * SECOND_MS)
    ]


def test_a_report_that_is_refused_for_good_is_set_aside(service, tmp_path):
    """It does not hold up the others, and stays to be looked at."""
    observer_config = tmp_path / "agent.toml"
    observer_config.write_text(
        f'base_url = "{service.url}"\ncentre = "sj01"\nsource = "urn:centre:sj01:agent:x"\nkey_file = "k"\nspool = "s"\n'
    )
    box = Observer(load_config(observer_config), tmp_path).outbox
    box.put("1", [b"{}", json.dumps(report()).encode()])
    assert box.send(service.url, Agent(service.url).key) == 1
    assert not box.waiting
    assert [path.name for path in tmp_path.glob("s.telemetry/*")] == ["1-0000.refused"]
