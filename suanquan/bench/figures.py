"""What every measurement reports, and the raw SQLite limit that ingestion is compared with."""

from __future__ import annotations

import resource
import sqlite3
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RAW_ROWS = 200_000
RAW_COMMIT = 10_000


def raw_sqlite_rows(folder: Path) -> float:
    """Usage rows a second that this machine's SQLite takes: 16-byte time-ordered unique id, five integers, a 32-byte hash.

    WAL, synchronous=FULL, 10,000 rows a commit, one `executemany` each, nothing else going on: the limit of a design that
    keeps one row a record.
    """
    path = folder / "raw.db"
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE usage (id BLOB NOT NULL UNIQUE, a INT, b INT, c INT, d INT, e INT, hash BLOB)")
        batches = [
            [(at.to_bytes(16), at, at, 3, 4, 5, at.to_bytes(32)) for at in range(first, first + RAW_COMMIT)]
            for first in range(0, RAW_ROWS, RAW_COMMIT)
        ]
        started = time.perf_counter()
        for rows in batches:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        return RAW_ROWS / (time.perf_counter() - started)
    finally:
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def percentile(values: Sequence[float], percent: int) -> float:
    """Nearest-rank percentile of milliseconds, to a tenth."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1)


def median_run(runs: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    """The run in the middle by one of its figures."""
    middle = statistics.median_low([run[key] for run in runs])
    return next(run for run in runs if run[key] == middle)


def rss_mb(pid: int | None = None) -> int:
    """Largest resident memory so far, of another process or of this one, in MiB.

    What the system counts as the maximum of a child includes its parent's before the child's program began.
    """
    status = Path(f"/proc/{pid or 'self'}/status")
    if pid is None and not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) >> 10
    return 0
