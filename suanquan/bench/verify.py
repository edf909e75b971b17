"""`bench verify`: an export of the log recomputed from its leaves, beside the hashes that no verifier can do without."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger.amount import CNY
from ledger.apply import apply
from ledger.edge import Edge
from ledger.entry import EntryKind, Event, Limits, Opening, credit, debit
from ledger.refusal import Refusal
from ledger.state import State
from ledger.tiles import bundles_of, decode_bundle, tile_log
from ledger.tree import hash_leaf
from suanquan.bench.figures import median_run, rss_mb
from suanquan.use_cases.verify_export import recompute

ACCOUNTS = 1_000
RAW_MAX = 200_000
START_NS = 1_767_225_600_000_000_000


def measure(leaves: int, runs: int) -> dict[str, Any]:
    """Leaves a second that are verified, from the first file to the root; median of the runs by their ratio."""
    with tempfile.TemporaryDirectory(prefix="suanquan-bench-") as folder:
        size = _export(Path(folder), leaves)
        return median_run([_run(Path(folder), size) for _ in range(runs)], "ratio") | {"runs": runs}


def _run(folder: Path, size: int) -> dict[str, Any]:
    raw = _raw(folder, size)
    started = time.perf_counter()
    root = recompute(folder, size)
    per_second = size / (time.perf_counter() - started)
    assert isinstance(root, bytes), root
    return {
        "workload": "verify",
        "per_second": round(per_second),
        "raw_per_second": round(raw),
        "ratio": round(per_second / raw, 3),
        "rss_mb": rss_mb(),
        "leaves": size,
        "accounts": ACCOUNTS,
    }


def _raw(folder: Path, size: int) -> float:
    """Leaves a second that one process can hash into a tree, when they are in memory and nothing else is asked."""
    leaves: list[bytes] = []
    for tile in bundles_of(size):
        leaves += decode_bundle((folder / tile.path).read_bytes(), tile.width)
        if len(leaves) >= RAW_MAX:
            break
    started = time.perf_counter()
    Edge().extend(map(hash_leaf, leaves))
    return len(leaves) / (time.perf_counter() - started)


def _export(folder: Path, leaves: int) -> int:
    """Write bundles and tiles of a log of about so many leaves; its size."""
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for leaf in _leaves(leaves):
            size += 1
            yield leaf

    for tile, data in tile_log(counted()):
        path = folder / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return size


def _leaves(wanted: int) -> Iterator[bytes]:
    """A log of transfers between random accounts; of a hundred entries, two are a hold and its capture."""
    state, draw = State(), random.Random(0)  # noqa: S311 -- the same log each time

    def record(kind: EntryKind, **fields: Any) -> bytes:
        digest = sha256(b"%d" % state.size).digest()
        entry = apply(state, Event(kind, digest[:16], digest, **fields), START_NS + state.size)
        assert not isinstance(entry, Refusal), entry
        state.undo.clear()
        return entry.leaf

    yield record(EntryKind.GENESIS)
    for number in range(ACCOUNTS):
        name = f"bench/{number}"
        opening = Opening(name, sha256(name.encode()).digest()[:16], CNY, Limits())
        yield record(EntryKind.OPEN, opening=opening)
    while state.size < wanted:
        source, goal = draw.sample(range(1, ACCOUNTS + 1), 2)
        if state.size % 100 == 0:
            yield record(EntryKind.HOLD, legs=(debit(source, 9), credit(goal, 9)))
            yield record(EntryKind.CAPTURE, legs=(debit(source, 5),), ref_seq=state.size - 1, final=True)
        yield record(EntryKind.POST, legs=(debit(source, 5), credit(goal, 5)))
