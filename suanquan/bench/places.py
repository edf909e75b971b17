"""New databases to measure on: files in a temporary folder, or databases of a PostgreSQL server of the measurement's own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from suanquan.db.place import Place, Server
from suanquan.optional import load_asyncpg, load_pgserver

NewPlace = Callable[[str], Place]


@contextlib.contextmanager
def new_places(backend: str) -> Iterator[NewPlace]:
    """A maker of empty databases by name, gone after the block; a server of our own keeps `fsync` on, as any should."""
    folder = Path(tempfile.mkdtemp(prefix="suanquan-bench-"))
    try:
        if backend == "sqlite":
            yield lambda name: folder / f"{name}.db"
        else:
            with _server(folder) as url:
                yield lambda name: _create(url, name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime folder that a machine may lack
        folder.chmod(0o711)
        server: Any = load_pgserver().get_server(folder / "pg", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def _create(url: str, name: str) -> Server:
    async def run() -> None:
        connection = await load_asyncpg().connect(url)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()
    head, _, options = url.partition("?")
    return Server(f"{head.rpartition('/')[0]}/{name}?{options}".rstrip("?"))
