"""Where usage is collected from: files, commands, a monitor, a cluster, cards; over real sockets on loopback."""

from __future__ import annotations

import http.server
import json
import logging
import os
import threading
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from metering.agent.collectors import BUILT_IN, Collection, Files, make_collectors
from metering.agent.config import AgentConfig
from metering.agent.cursors import Cursors
from metering.agent.kubernetes_api import KubernetesCollector
from metering.agent.nvml import NvmlCollector, read_cards
from metering.agent.prometheus_api import PrometheusCollector
from metering.agent.receipts import published_keys
from metering.errors import MeteringError
from metering.model import UsageRecord
from tests.metering.agent.usage_service import RECEIPT_KEYS, SOURCE
from tests.metering.sources.test_kubernetes import pod


class Site:
    """Answers GET on loopback by a function of path and query; keeps what was asked."""

    def __init__(self, answer):
        self.asked = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                site.asked.append((parts.path, query, self.headers.get("authorization")))
                status, body = answer(parts.path, query)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def config(folder, *tables):
    return AgentConfig(
        "http://127.0.0.1:1", "sj01", SOURCE, folder / "k", folder / "s.db", 60, 2**20, collect=list(tables)
    )


def taken(collector):
    found = [item for item in collector.records() if isinstance(item, UsageRecord)]
    collector.done()
    return found


CSV = {"source": "csv", "map": {"start": "s", "duration": "d", "gpus": "n", "account": "a"}}


def test_files_and_commands_are_read_at_every_round(tmp_path, caplog):
    """A file that is missing is logged by name and keeps nobody from work; a command that fails is not believed."""
    (tmp_path / "jobs.csv").write_text("s,d,n,a\n1795305600,60,1,x\n1795305600,bad,1,x\n", "utf-8")
    (tmp_path / "sacct.txt").write_text(
        "JobIDRaw|Cluster|Account|Start|End|ElapsedRaw|State|AllocTRES\n"
        "1|sj01|lab|2026-11-01T00:00:00|2026-11-01T00:01:00|60|COMPLETED|gres/gpu:a100=1\n",
        "utf-8",
    )
    sacct = {"source": "sacct", "timezone": "UTC"}
    tables = [
        {**CSV, "paths": ["absent.csv", "jobs.csv"]},
        {**sacct, "command": ["cat", str(tmp_path / "sacct.txt")]},
        {**sacct, "command": ["cat", str(tmp_path / "absent.txt")]},
    ]
    collection = Collection(make_collectors(config(tmp_path, *tables), tmp_path))
    with caplog.at_level(logging.ERROR):
        found = list(collection())
        collection.done()
    assert [record.account for record in found] == ["x", "lab"]
    assert collection.skipped == {"bad-duration": 1}
    assert "absent.csv" in caplog.text
    assert "cat" in caplog.text
    assert list(collection()) == found


def test_levels_that_are_still_written_are_not_closed(tmp_path):
    """A file that grows minute by minute: an interval is sent once, when it has ended; else it would conflict with itself."""
    path, first_s = tmp_path / "levels.csv", 1_795_305_600
    table = {
        "source": "gauge-csv",
        "step": "60s",
        "paths": ["levels.csv"],
        "map": {"time": "t", "gpus": "n", "account": "a"},
    }
    files = Files(table, tmp_path)
    path.write_text("t,n,a\n", "utf-8")
    sent = {}
    for minute in range(12):
        with path.open("a", encoding="utf-8") as file:
            file.write(
                "".join(
                    f"{first_s + 60 * minute},{cards},{name}\n" for name, cards in (("x", minute // 4 + 1), ("y", 1))
                )
            )
        for record in taken(files):
            assert sent.setdefault(record.id, record) == record
    assert [record.active_ms for record in sent.values()] == [240_000, 240_000]
    os.utime(path, (first_s, first_s))
    sent |= {record.id: record for record in taken(files)}
    assert sum(record.gpu_ms for record in sent.values()) == (4 * (1 + 2 + 3) + 12) * 60_000


def test_a_collector_that_does_not_exist_is_refused(tmp_path):
    """By name; a built-in one whose library is missing says which."""
    with pytest.raises(MeteringError, match="pigeon"):
        make_collectors(config(tmp_path, {"source": "pigeon"}), tmp_path)
    assert [point.name for point in BUILT_IN] == ["prometheus", "kubernetes", "nvml"]


def test_a_source_that_breaks_stops_no_other(caplog):
    """A centre's own source raises whatever it likes: its records so far and the others' are taken, and it is asked again."""
    asked = []

    class Broken:
        def records(self):
            yield "before"
            raise KeyError("a bug")

        def done(self):
            asked.append("broken")

    class Sound(Broken):
        def records(self):
            yield "after"

        def done(self):
            asked.append("sound")

    collection = Collection([Broken(), Sound()])
    assert list(collection()) == ["before", "after"]
    collection.done()
    assert asked == ["sound"]
    assert "a bug" in caplog.text


# ---- Prometheus


def matrix(query):
    start, end, step = int(query["start"]), int(query["end"]), int(query["step"].removesuffix("s"))
    labels = {"__name__": "DCGM_FI_DEV_GPU_UTIL", "UUID": "GPU-1", "namespace": "quantum", "modelName": "A100"}
    points = [[at, "0"] for at in range(start, end + 1, step)]
    result = [{"metric": labels, "values": points}]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


def test_windows_of_a_monitor_are_read_once_when_they_are_over(tmp_path):
    """Three hours back, an hour a window: records meet at the edges, and the next round asks for nothing again."""
    now_s = time.time_ns() // 10**9
    since = now_s // 3600 * 3600 - 3 * 3600
    (tmp_path / "token").write_text("secret\n", "utf-8")
    with Site(lambda _path, query: (200, matrix(query))) as site:
        table = {
            "url": site.url,
            "query": "up",
            "since_s": since,
            "grace_s": 0,
            "token_file": "token",
            "folder": tmp_path,
        }
        collector = PrometheusCollector(table, Cursors(tmp_path / "c"), now_s)
        found = taken(collector)
        asked = len(site.asked)
        assert taken(PrometheusCollector(table, Cursors(tmp_path / "c"), now_s)) == [] or now_s % 3600 > 3590
        assert len(site.asked) == asked or now_s % 3600 > 3590
    assert sum(record.gpu_ms for record in found) == len(found) * 3_600_000
    assert [record.start_us // 10**6 for record in found[:3]] == [since, since + 3600, since + 7200]
    assert site.asked[0][0] == "/api/v1/query_range"
    assert site.asked[0][2] == "Bearer secret"


def test_a_monitor_in_trouble_is_asked_again(tmp_path):
    """An error is no hour without usage: the window is asked for again in the next round."""
    now_s = time.time_ns() // 10**9
    answers = iter([(503, b"busy"), (200, b'{"status":"error","error":"x"}')])
    table = {"query": "up", "since_s": now_s - 7200, "grace_s": 0}
    with Site(lambda _path, query: next(answers, None) or (200, matrix(query))) as site:
        for _ in range(2):
            collection = Collection([PrometheusCollector({**table, "url": site.url}, Cursors(tmp_path / "c"), now_s)])
            assert list(collection()) == []
            collection.done()
        assert taken(PrometheusCollector({**table, "url": site.url}, Cursors(tmp_path / "c"), now_s))


@pytest.mark.parametrize(
    "table", [{"query": "up"}, {"url": "http://x"}, {"url": "http://x", "query": "up", "step": "7s", "window_s": 60}]
)
def test_a_monitor_is_configured_whole(tmp_path, table):
    """Address and query are needed, and a window holds whole steps."""
    with pytest.raises(MeteringError):
        PrometheusCollector(table, Cursors(tmp_path / "c"), 0)


# ---- Kubernetes


def versioned(kind, members, version):
    members["metadata"]["resourceVersion"] = str(version)
    return {"type": kind, "object": members}


def test_a_cluster_is_listed_once_and_watched_from_there(tmp_path):
    """Two pages, then what happened since; a pod that ends and is deleted between two rounds is heard of."""
    gpu = {"nvidia.com/gpu": "1"}

    def answer(_path, query):
        if "watch" in query:
            assert query["resourceVersion"] == "7"
            events = [
                versioned("MODIFIED", pod(gpu, uid="u2"), 8),
                versioned("DELETED", pod(gpu, uid="u2"), 9),
                {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "11"}}},
            ]
            return 200, b"\n".join(json.dumps(event).encode() for event in events)
        if "continue" not in query:
            first = {"metadata": {"continue": "more", "resourceVersion": "7"}, "items": [pod(gpu)]}
            return 200, json.dumps(first).encode()
        second = {"metadata": {"resourceVersion": "7"}, "items": [pod(gpu, uid="u2", phase="Running")]}
        return 200, json.dumps(second).encode()

    cursors = Cursors(tmp_path / "c")
    with Site(answer) as site:
        table = {"url": site.url, "folder": tmp_path}
        assert [record.id.split(":")[2] for record in taken(KubernetesCollector(table, cursors))] == ["u1"]
        again = KubernetesCollector(table, Cursors(tmp_path / "c"))
        assert [record.id.split(":")[2] for record in taken(again)] == ["u2"]
    assert Cursors(tmp_path / "c").get(f"kubernetes {site.url}/api/v1/pods ") == "11"


def test_a_place_that_the_cluster_has_forgotten_is_a_new_list(tmp_path, caplog):
    """410 Gone: listed again, and said that something may be missing."""
    gone = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410}}).encode()
    page = {"metadata": {"resourceVersion": "20"}, "items": [pod({"nvidia.com/gpu": "1"})]}
    cursors = Cursors(tmp_path / "c")
    with Site(lambda _path, query: (200, gone if "watch" in query else json.dumps(page).encode())) as site:
        cursors.put(f"kubernetes {site.url}/api/v1/pods ", "7")
        assert len(taken(KubernetesCollector({"url": site.url}, cursors))) == 1
    assert cursors.get(f"kubernetes {site.url}/api/v1/pods ") == "20"
    assert "possible gap" in caplog.text


# ---- NVML


class NoNvmlError(Exception):
    """What the library raises."""


def library(processes=(1, 0), *, broken=False):
    """What NVIDIA's library says of two cards, of which one is split; the real one needs a driver."""

    def refuse(what):
        raise NoNvmlError(what)

    def running(handle):
        return [1] if isinstance(handle, tuple) else [1] * processes[handle]

    return SimpleNamespace(
        NVMLError=NoNvmlError,
        nvmlInit=lambda: refuse("Driver Not Loaded") if broken else None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda handle: f"GPU-{handle}",
        nvmlDeviceGetName=lambda _handle: b"NVIDIA A100-SXM4-80GB",
        nvmlDeviceGetComputeRunningProcesses=running,
        nvmlDeviceGetMigMode=lambda handle: refuse("Not Supported") if handle == 0 else [1, 1],
        nvmlDeviceGetMaxMigDeviceCount=lambda _handle: 7,
        nvmlDeviceGetMigDeviceHandleByIndex=lambda handle, index: (handle, 2) if index == 2 else refuse("Not Found"),
        nvmlDeviceGetGpuInstanceId=lambda _handle: 5,
        nvmlDeviceGetAttributes=lambda _handle: SimpleNamespace(gpuInstanceSliceCount=3, memorySizeMB=40_192),
    )


def test_cards_and_their_parts_are_read():
    """A whole card, and the one instance of a split one; no driver is said in the library's words."""
    whole, part = read_cards(library())
    assert (whole.uuid, whole.processes, whole.instance) == ("GPU-0", 1, "")
    assert (part.uuid, part.instance, part.profile) == ("GPU-1", "5", "3g.40gb")
    with pytest.raises(MeteringError, match="Driver Not Loaded"):
        read_cards(library(broken=True))


@pytest.mark.parametrize(
    ("held", "processes", "cards"), [("process", (1, 0), 1428), ("always", (0, 0), 1428), ("process", (0, 0), 428)]
)
def test_rounds_of_an_hour_become_records_when_it_is_over(tmp_path, monkeypatch, held, processes, cards):
    """Sixty rounds of a minute are an hour of each card that was held; the file goes when all is spooled."""
    now_s = 1_795_305_600
    monkeypatch.setattr("metering.agent.nvml.time.time_ns", lambda: now_s * 10**9)
    collector = NvmlCollector({"account": "lab", "held": held}, tmp_path, 60, library(processes))
    for _ in range(60):
        assert list(collector.records()) == []
        now_s += 60
    found = taken(collector)
    assert sum(record.gpu_ms for record in found) == cards * 3600
    assert {record.account for record in found} == {"lab"}
    assert len(list(tmp_path.glob("*.prom"))) == 1
    with pytest.raises(MeteringError, match="account"):
        NvmlCollector({}, tmp_path, 60, library())


def test_a_real_card_where_one_is_at_hand():
    """The library itself, on a machine that has a card."""
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    try:
        readings = read_cards(pynvml)
    except MeteringError as error:
        pytest.skip(f"no card: {error.en}")
    assert all(reading.uuid.startswith("GPU-") and reading.model for reading in readings)


# ---- receipts


def test_keys_of_receipts_are_those_that_the_service_publishes():
    """Ed25519 keys by their id; others in the set are passed over, another document is refused."""
    (key,) = RECEIPT_KEYS.values()
    others = [{"kty": "EC", "crv": "P-256"}, {"kty": "OKP", "crv": "Ed25519", "x": "AA", "use": "decision"}]
    documents = iter([{"keys": [{**key.jwk(), "kid": key.kid}, *others]}, {"keys": 1}])
    with Site(lambda *_: (200, json.dumps(next(documents)).encode())) as site:
        assert published_keys(f"{site.url}/x").keys() == {key.kid}
        with pytest.raises(MeteringError, match="JWK"):
            published_keys(f"{site.url}/x")
    with pytest.raises(MeteringError, match="cannot read"):
        published_keys(f"{site.url}/x")
