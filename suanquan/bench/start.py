"""`bench start`: how long a newcomer waits for `--help` and for the demo's first page."""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from suanquan.bench.figures import rss_mb


def measure(runs: int) -> dict[str, Any]:
    """Seconds until `suanquan --help` has ended and until the demo's page answers, with a bare interpreter beside them."""
    bare = statistics.median(_timed([sys.executable, "-c", "pass"]) for _ in range(runs))
    answered = statistics.median(_timed([sys.executable, "-m", "suanquan", "--help"]) for _ in range(runs))
    page = statistics.median(_first_page() for _ in range(runs))
    return {
        "workload": "start",
        "per_second": round(1 / answered, 2),
        "raw_per_second": round(1 / bare, 2),
        "ratio": round(bare / answered, 3),
        "help_s": round(answered, 3),
        "first_page_s": round(page, 2),
        "rss_mb": rss_mb(),
        "runs": runs,
    }


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 -- our own commands
    return time.perf_counter() - started


def _first_page() -> float:
    with tempfile.TemporaryDirectory(prefix="suanquan-bench-") as folder:
        command = [sys.executable, "-m", "suanquan", "demo", "--home", str(Path(folder) / "home"), "--port", "0"]
        started = time.perf_counter()
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:  # noqa: S603
            assert process.stderr is not None
            line = next((line for line in process.stderr if "http://" in line), "")
            with urllib.request.urlopen(line[line.index("http://") :].strip(), timeout=20) as response:  # noqa: S310
                response.read()
            seconds = time.perf_counter() - started
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
    return seconds
