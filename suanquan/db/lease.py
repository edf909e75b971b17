"""Which process writes and runs jobs: a lease in the database, with an epoch that fences off whoever held it before.

A service waits as stand-by until the lease is free. It is free when it was released or has run out, or when its owner was a
process of this machine that is gone. A holder that slept through its lease is harmless: its epoch is no longer the one in the
table, and every commit of the journal looks.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.sql import Connection, execute_all, insert_new
from suanquan.db.database import Database
from suanquan.db.place import Server
from suanquan.db.tables import lease

WRITER = "writer"
TTL_US = 10_000_000
"""How long a lease lasts unless renewed: so long a stand-by waits for a holder of another machine that fell silent."""
FENCE = f"SELECT epoch FROM lease WHERE name = '{WRITER}'"  # noqa: S608 -- own name
"""With the epoch of one's lease: what the journal checks in each transaction."""
_PROCESS = uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write, until another process takes it."""

    owner: str
    epoch: int

    @property
    def fence(self) -> tuple[str, int]:
        """For `Journal.fences`."""
        return FENCE, self.epoch


async def acquire(database: Database, owner: str, ttl_us: int = TTL_US) -> Lease | None:
    """Take the lease under a new epoch, None while another process holds it."""
    async with database.write() as connection:
        now = await _now_us(database, connection)
        await insert_new(connection, lease, (WRITER, owner, 0, 0))
        [[(holder, epoch, until_us)]] = await _run(
            connection, "SELECT owner, epoch, until_us FROM lease WHERE name = ?", WRITER
        )
        if until_us > now and holder != owner and not is_gone(holder):
            return None
        query = "UPDATE lease SET owner = ?, epoch = ?, until_us = ? WHERE name = ?"
        await _run(connection, query, owner, epoch + 1, now + ttl_us, WRITER)
        return Lease(owner, epoch + 1)


async def renew(database: Database, held: Lease, ttl_us: int = TTL_US) -> bool:
    """Hold the lease for longer; False when another process has taken it. One that ran out untaken is still held."""
    return await _extend(database, held, ttl_us)


async def release(database: Database, held: Lease) -> bool:
    """Let others take the lease at once; False when one has."""
    return await _extend(database, held, 0)


async def _extend(database: Database, held: Lease, ttl_us: int) -> bool:
    async with database.write() as connection:
        until_us = await _now_us(database, connection) + ttl_us
        query = "UPDATE lease SET until_us = ? WHERE name = ? AND epoch = ? RETURNING 1"
        [found] = await _run(connection, query, until_us, WRITER, held.epoch)
        return bool(found)


async def _run(connection: Connection, text: str, *values: Any) -> list[list[tuple[Any, ...]]]:
    return await execute_all(connection, [(text, values)])


async def _now_us(database: Database, connection: Connection) -> int:
    """Time by the server's clock, which all its clients share, or by the one clock that all users of a file share."""
    if not isinstance(database.place, Server):
        return time.time_ns() // 1000
    [[(now,)]] = await _run(connection, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    return int(now)


def this_process() -> str:
    """A name that no other process has, and from which others of this machine see whether it still runs."""
    return f"{_machine()} {os.getpid()} {_PROCESS}"


def is_gone(owner: str) -> bool:
    """Whether an owner was a process of this machine that runs no more; False where that cannot be known."""
    machine, _, process = owner.partition(" ")
    if machine != _machine() or sys.platform == "win32":
        return False
    number = int(process.partition(" ")[0])
    if number == os.getpid():  # a process from before a restart that had the same number
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _machine() -> str:
    """Host, boot and, in containers, the space in which process numbers count."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = [socket.gethostname()]
    parts += [boot.read_text("ascii").strip()] if boot.is_file() else []
    parts += [str(space.readlink())] if space.is_symlink() else []
    return "/".join(parts).replace(" ", "")
