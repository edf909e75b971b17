"""The log as static files (c2sp.org/tlog-tiles), with what is needed to check them: for auditors, mirrors and archives."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import suanquan
from ledger import log_store
from ledger.errors import DomainError, Kind
from ledger.log_store import SignedHead
from ledger.note import Note, open_checkpoint
from ledger.tiles import ENTRIES, Tile, bundles_of, encode_bundle, tiles_of
from ledger.vkey import Algorithm
from suanquan.errors import ServiceError
from suanquan.use_cases.log import Log

FILES_AT_ONCE = 32
ADDED = {"verify_log.py": "tools/verify_log.py", "FORMAT.md": "docs/ledger.md"}
"""What an export has beside the log, and where it stands in a checkout: the verifier that stands alone, the grammar."""

Progress = Callable[[int, int], None]


async def export_log(log: Log, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write the log up to its newest signed head; what an earlier export left there is gone on with.

    Files are whole or absent and the checkpoint comes last, so a cut-short export is continued by another.

    Raises:
        ServiceError: `checkpoint-missing`, or `export-of-another-log`.

    """
    await log.sign()
    async with log.database.read() as conn:
        head = await log_store.newest_head(conn)
    if head is None or head.origin != log.name:
        head = await log.covering(0)
    old_size = await _exported(log, folder, head)
    wanted = [bundles_of(head.size, old_size), tiles_of(head.size, old_size)]
    done = 0
    for tiles in _parts(itertools.chain.from_iterable(wanted)):
        files = await _load(log, [tile for tile in tiles if not (folder / tile.path).exists()])
        await asyncio.to_thread(_write_all, folder, files)
        done += len(tiles)
        progress(done, (head.size >> 7) + 2)
    await asyncio.to_thread(_write_all, folder, _frame(log, head))
    return {"origin": head.origin, "size": head.size, "root": head.root.hex(), "folder": str(folder)}


async def _exported(log: Log, folder: Path, head: SignedHead) -> int:
    """Size of the export that a folder holds, which must be of this log."""
    file = folder / "checkpoint"
    if not file.exists():
        return 0
    try:
        old = open_checkpoint(Note.parse(file.read_bytes()), log.verifiers)
    except DomainError as error:
        raise _of_another(folder) from error
    async with log.database.read() as conn:
        if old.size > head.size or await log_store.root_at(conn, old.size) != old.root:
            raise _of_another(folder)
    return old.size


def _of_another(folder: Path) -> ServiceError:
    return ServiceError(
        "export-of-another-log",
        f"{folder} 中是另一日志的导出，或较新的导出；请换目录",
        f"{folder} holds an export of another log, or a newer one; choose another folder",
        kind=Kind.CONFLICT,
    )


def _parts(tiles: Iterator[Tile]) -> Iterator[list[Tile]]:
    while part := list(itertools.islice(tiles, FILES_AT_ONCE)):
        yield part


async def _load(log: Log, tiles: list[Tile]) -> dict[str, bytes]:
    """Contents of tiles by path; each part in a transaction of its own, for nothing of a log changes."""
    async with log.database.read() as conn:
        hashes = await log_store.load_tiles(conn, [tile for tile in tiles if tile.level != ENTRIES])
        files = {tile.path: data for tile, data in hashes.items()}
        for tile in tiles:
            if tile.level == ENTRIES:
                files[tile.path] = encode_bundle(await log_store.load_bundle(conn, tile.number, tile.width))
    return files


def _frame(log: Log, head: SignedHead) -> dict[str, bytes]:
    """The files around the tiles: keys, verifier, grammar and, last, the checkpoint."""
    files = {_vkey_file(key.algorithm): f"{key}\n".encode() for key in log.verifiers}
    files |= {name: _shipped(name).read_bytes() for name in ADDED}
    return files | {"checkpoint": head.note.encode()}


def _vkey_file(algorithm: Algorithm) -> str:
    return "log.vkey" if algorithm is Algorithm.ED25519 else "log-ml-dsa-44.vkey"


def _shipped(name: str) -> Path:
    """A file of `ADDED`: inside the wheel, or in a checkout."""
    package = Path(suanquan.__file__).parent
    inside = package / "export" / name
    return inside if inside.is_file() else package.parent / ADDED[name]


def _write_all(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        fresh.write_bytes(data)
        fresh.replace(path)
