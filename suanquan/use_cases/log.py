"""The log as the world sees it: its signed heads, the last of which stands outside the database, too; never two histories."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

from ledger import log_store
from ledger.changes import LogHead
from ledger.checkpoint import Checkpoint
from ledger.entry import EntryKind, Event
from ledger.errors import DomainError, Kind
from ledger.journal import Journal
from ledger.log_store import SignedHead
from ledger.note import Note, open_checkpoint
from ledger.orders import Act
from ledger.policy import Policy
from ledger.sql import Connection
from ledger.store import load_head, load_size
from ledger.transaction import Transaction
from ledger.vkey import VerifierKey
from suanquan.clock import ClockNs
from suanquan.db.database import Database
from suanquan.errors import ServiceError
from suanquan.home import Home, write_secret
from suanquan.note_keys import LOG_ALGORITHMS, NoteKeys, create_note_keys, load_note_keys, load_verifier_keys
from suanquan.settings import Settings
from suanquan.use_cases.books import Order, record_act

COVER_SECONDS = 3
"""How long a receipt waits for a service beside it to sign a head that covers its entry; it signs at least every second."""
POLL_SECONDS = 0.1
ROLLED_BACK = "database-rolled-back"


class RolledBackError(ServiceError):
    """The refusal to write to a database of `size` entries that does not continue what is known of its log at `known`."""

    def __init__(self, size: int, known: int, who: str = "") -> None:
        self.size, self.known, self.who = size, known, who
        zh, en = (f"（{who}）", f" ({who})") if who else ("", "")
        super().__init__(
            ROLLED_BACK,
            f"数据库的日志有 {size} 条，与已签发的 {known} 条的检查点{zh}不衔接：可能是从旧备份恢复；未写入任何内容。"
            "请恢复较新的数据，或由负责人运行 suanquan db accept-rollback",
            f"the database's log has {size} entries and does not continue the checkpoint of {known}{en}: restored from an "
            "older backup? Nothing was written; restore newer data, or have suanquan db accept-rollback run by who may decide it",
            kind=Kind.PROOF,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes whole."""
        return type(self), (self.size, self.known, self.who)


@dataclass(frozen=True, slots=True)
class Log:
    """The log of a home. `keys` is None without the passphrase: then nothing is signed. `policy` names the witnesses."""

    database: Database
    home: Home
    verifiers: tuple[VerifierKey, ...]
    keys: NoteKeys | None = None
    policy: Policy | None = None
    clock_ns: ClockNs = time.time_ns

    async def sign(self) -> SignedHead | None:
        """Sign the head of the log if it has grown since the last; None without keys.

        The head file is written before anybody can see the new head, so that whatever was published is known outside the
        database.

        Raises:
            ServiceError: `database-rolled-back`.

        """
        if self.keys is None:
            return None
        async with self.database.read() as conn:
            newest = await log_store.newest_head(conn)
            if self._is_of_these_keys(newest) and newest.size == await load_size(conn):
                return newest
            head = await _check_continues(conn, newest, self._read_head_file())
        now_us = self.clock_ns() // 1000
        note = self.keys.sign_checkpoint(Checkpoint(self.keys.name, head.size, head.root), now_us // 1_000_000)
        signed = SignedHead(head.size, head.root, now_us, str(note))
        # Neither the loop nor the writer waits for this file's way to the disk (measured: 8 to 30 ms, twice a second).
        await asyncio.to_thread(write_secret, self.home.log_head, signed.note.encode())
        async with self.database.write() as conn:
            return await self._publish(conn, signed)

    async def _publish(self, conn: Connection, signed: SignedHead) -> SignedHead:
        """Let a head be seen that is on disk, unless another process has signed a newer one; the file never stays behind."""
        newest = await log_store.newest_head(conn)
        await _check_continues(conn, signed, None)
        known = newest if self._is_of_these_keys(newest) and newest.size >= signed.size else signed
        kept = self._read_head_file()
        if kept is None or kept.size < known.size:  # another process wrote an older head after ours
            write_secret(self.home.log_head, known.note.encode())
        if known is signed:
            await log_store.add_head(conn, signed)
        return known

    def _is_of_these_keys(self, head: SignedHead | None) -> TypeGuard[SignedHead]:
        return head is not None and self.keys is not None and head.origin == self.keys.name

    async def check_head_file(self) -> None:
        """Refuse a database that is older than the heads that were signed, or has another history.

        Raises:
            ServiceError: `database-rolled-back`, or `log-head-unreadable`.

        """
        kept = self._read_head_file()  # before the database: a service beside us goes on signing
        async with self.database.read() as conn:
            await _check_continues(conn, await log_store.newest_head(conn), kept)

    def _read_head_file(self) -> Checkpoint | None:
        try:
            return open_checkpoint(Note.parse(self.home.log_head.read_bytes()), self.verifiers)
        except FileNotFoundError:
            return None
        except DomainError as error:
            raise ServiceError(
                "log-head-unreadable",
                f"{self.home.log_head} 不是本日志签名的检查点：{error.zh}",
                f"{self.home.log_head} is no checkpoint signed by this log: {error.en}",
                kind=Kind.PROOF,
            ) from error

    async def covering(self, seq: int) -> SignedHead:
        """The newest signed head that covers an entry, one with the witnesses' quorum if there is.

        Raises:
            ServiceError: `checkpoint-missing`: none does, and nobody signs one now.

        """
        deadline = time.monotonic() + COVER_SECONDS
        while True:
            async with self.database.read() as conn:
                for witnessed in (True, False):
                    found = await log_store.newest_head(conn, witnessed=witnessed)
                    if found is not None and found.size > seq and found.origin == self.name:
                        return found
            if await self.sign() is None and time.monotonic() >= deadline:
                raise ServiceError(
                    "checkpoint-missing",
                    "尚无包含该分录的签名检查点；请带 --passphrase-file 运行，或启动服务",
                    "no signed checkpoint covers the entry yet; use --passphrase-file, or start the service",
                    kind=Kind.UNAVAILABLE,
                )
            await asyncio.sleep(0 if self.keys else POLL_SECONDS)

    @property
    def name(self) -> str:
        """Name under which heads are signed, empty for a home without log keys."""
        return self.verifiers[0].name if self.verifiers else ""


async def _check_continues(conn: Connection, newest: SignedHead | None, kept: Checkpoint | None) -> LogHead:
    head = await load_head(conn)
    assert head is not None, "a home has a ledger"
    known = [(head.size, head.root), *((one.size, one.root) for one in (newest, kept) if one is not None)]
    for size, root in known:
        if size > head.size or await log_store.root_at(conn, size) != root:
            raise RolledBackError(head.size, size)
    return head


def open_log(
    home: Home, settings: Settings, database: Database, passphrase: bytes | None, clock_ns: ClockNs = time.time_ns
) -> Log:
    """The log of a home.

    Raises:
        DomainError: keys that cannot be read, or a witness policy that is missing or malformed.

    """
    verifiers = load_verifier_keys(home.log_keys)
    keys = load_note_keys(home.log_keys, passphrase) if verifiers and passphrase is not None else None
    return Log(database, home, verifiers, keys, _load_policy(home, settings), clock_ns)


def _load_policy(home: Home, settings: Settings) -> Policy | None:
    if not settings.witnesses:
        return None
    file = home.path / settings.witnesses
    try:
        return Policy.parse(file.read_bytes())
    except OSError as fault:
        raise ServiceError(
            "witnesses-unreadable",
            f"读不到见证策略 {file}",
            f"cannot read the witness policy {file}",
            kind=Kind.NOT_FOUND,
        ) from fault


async def create_log_keys(
    home: Home, settings: Settings, database: Database, passphrase: bytes, clock_ns: ClockNs = time.time_ns
) -> Log:
    """Make the log's keys unless the home has them, and sign the head of the log for the first time."""
    if not load_verifier_keys(home.log_keys):
        async with database.read() as conn:
            head = await load_head(conn)
        assert head is not None, "a home has a ledger"
        create_note_keys(home.log_keys, head.origin, passphrase, LOG_ALGORITHMS)
    log = open_log(home, settings, database, passphrase, clock_ns)
    await log.sign()
    return log


async def accept_rollback(
    log: Log, journal: Journal, check: Callable[[], Awaitable[None]], order: Order, passphrase: bytes
) -> dict[str, Any]:
    """Go on with a database that does not continue the published log: with an entry that says so, a new name and new keys.

    No name ever signs two histories: the published log ends, and who follows it must be told of its successor. `check`
    raises where the database was rolled back.

    Raises:
        ServiceError: `not-rolled-back`.

    """
    try:
        await check()
    except DomainError as error:
        was = error
    else:
        raise ServiceError("not-rolled-back", "数据库未被回退", "the database was not rolled back", kind=Kind.CONFLICT)
    keys, file, now_s = log.home.log_keys, log.home.log_head, time.time_ns() // 10**9
    load_note_keys(keys, passphrase)
    name = f"{log.name.partition('/restored-')[0]}/restored-{now_s}"
    published = file.read_text("utf-8", "replace").partition("\n\n")[0] if file.exists() else None
    fact = {"type": "rollback-accepted", "published": published, "continues_as": name, "found": was.en}

    async def build(_tx: Transaction, act: Act) -> Event:
        return act.event(EntryKind.NOTE, json.dumps(fact, ensure_ascii=False, sort_keys=True))

    entry = await record_act(journal, order, f"accept-rollback\0{name}", build)
    keys.rename(keys.with_name(f"log-until-{now_s}"))
    create_note_keys(keys, name, passphrase, LOG_ALGORITHMS)
    if published is not None:  # last: until it is gone nothing else is written, and all this can be tried again
        file.rename(file.with_name(f"log-head-until-{now_s}"))
    renewed = Log(log.database, log.home, load_verifier_keys(keys), load_note_keys(keys, passphrase))
    signed = await renewed.sign()
    assert signed is not None, "the keys were just made"
    return {"seq": entry.seq, "continues_as": name, "size": signed.size, "root": signed.root.hex()}
