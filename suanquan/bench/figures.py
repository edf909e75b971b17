"""What every measurement reports, and the raw SQLite limit that ingestion is compared with."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

RAW_ROWS = 100_000
RAW_COMMIT = 10_000
Row = tuple[Any, ...]


def raw_sqlite_rows(folder: Path, columns: str, rows: Iterator[Row]) -> float:
    """Rows a second that this machine's SQLite takes of one plain program: the limit of a design that keeps a row a record.

    WAL, synchronous=FULL, 10,000 rows a commit, one `executemany` each, the rows made before, nothing else going on.
    """
    path = folder / "raw.db"
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"CREATE TABLE usage ({columns})")
        insert = f"INSERT INTO usage VALUES ({','.join('?' * (columns.count(',') + 1))})"  # noqa: S608 -- own names
        batches = [list(islice(rows, RAW_COMMIT)) for _ in range(0, RAW_ROWS, RAW_COMMIT)]
        started = time.perf_counter()
        for part in batches:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, part)
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


def processes_of(pid: int) -> list[int]:
    """A process and all that it started, and they; the process alone where the system does not tell."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return found


def cpu_seconds(pid: int) -> float:
    """Time on the processor of a process and those it started that still run; 0 where the system does not tell."""
    ticks = 0
    for one in processes_of(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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
