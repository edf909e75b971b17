"""Keep the books safe: online backup, restore with a check of every proof, and the move to another database."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ledger.changes import LogHead
from ledger.errors import Kind
from ledger.log_store import root_at
from ledger.store import load_head
from suanquan.db.copying import Progress, copy_database, snapshot
from suanquan.db.database import Database
from suanquan.db.lease import acquire, release, this_process
from suanquan.db.place import Place
from suanquan.db.schema import HEAD, require_head, revision, upgrade
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.settings import load_settings, new_settings
from suanquan.use_cases.log import Log, RolledBackError, open_log
from suanquan.use_cases.verify_ledger import verify_ledger
from suanquan.use_cases.witnessing import check_witnesses


async def back_up(source: Database, file: Path, progress: Progress) -> dict[str, Any]:
    """Write a backup: one SQLite file with everything, whatever the database is. The service goes on meanwhile.

    Raises:
        ServiceError: `file-exists`, or what the database refuses.

    """
    _require_new(file)
    fresh = file.with_name(f".{file.name}.part")
    fresh.unlink(missing_ok=True)
    try:
        await snapshot(source, fresh, progress)
        async with _opened(fresh) as database:
            found = await _head(database)
        _settle(fresh)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    return {"file": str(file), "size": found.size, "root": found.root.hex()}


async def check_backup(file: Path, origin: str, progress: Progress) -> LogHead:
    """The head of a backup, after everything in it was recomputed.

    Raises:
        ServiceError: `backup-unreadable`, `backup-of-another-log`, or `backup-damaged` with the first bad place.

    """
    try:
        stored = revision(file)  # None where there is no file
    except ServiceError:
        stored = None
    if stored is None:
        raise _unreadable(file)
    require_head(file)
    async with _opened(file) as database:
        try:
            head = await _head(database)
        except ServiceError as error:
            raise _unreadable(file) from error
        if head.origin != origin:
            raise ServiceError(
                "backup-of-another-log",
                f"该备份属于日志 {head.origin}，本机为 {origin}",
                f"the backup is of the log {head.origin}, this home keeps {origin}",
                kind=Kind.CONFLICT,
            )
        async with database.read() as connection:
            report = await verify_ledger(connection, progress)
    if not report["ok"]:
        fault = report["fault"]
        raise ServiceError(
            "backup-damaged",
            f"备份与其记录不符：{fault['where']}，{fault['title']}",
            f"the backup does not agree with its entries: {fault['where']}, {fault['detail']}",
            kind=Kind.PROOF,
        )
    return head


def _unreadable(file: Path) -> ServiceError:
    return ServiceError(
        "backup-unreadable",
        f"{file} 不是完整的备份",
        f"{file} is no backup, or was cut short",
        kind=Kind.PROOF,
    )


async def restore_home(home: Home, file: Path, progress: Progress, *, older: bool = False) -> dict[str, Any]:
    """Put a backup in the place of a home's database; a database file that was there is kept beside it.

    With `older` also one that lacks entries which were published or stand in the database that is there: what is
    published then keeps the home from writing until somebody accepts the rollback.

    Raises:
        ServiceError: what `check_backup` refuses; `backup-older`; `service-running`; `database-not-empty` on a server.

    """
    settings = load_settings(home.settings_file)
    place = home.place(settings)
    head = await check_backup(file, settings.log_origin, progress)
    async with _alone(place):
        if not older:
            await _require_newest(file, head, place, open_log(home, settings, Database(file), None))
    if isinstance(place, Path):
        return _report(head, await _restore_file(file, place, progress))
    upgrade(place)
    async with _opened(file) as source, _opened(place) as target:
        await copy_database(source, target, progress)
    return _report(head, None)


async def _require_newest(file: Path, head: LogHead, place: Place, log: Log) -> None:
    """Refuse a backup that does not continue the last signed head, what witnesses know, or the database that is there."""
    try:
        await log.check_head_file()
        await check_witnesses(log)
        await _check_continues(log.database, head, place)
    except RolledBackError as older:
        zh, en = (f"（{older.who}）", f" ({older.who})") if older.who else ("", "")
        raise ServiceError(
            "backup-older",
            f"备份 {file} 的日志有 {older.size} 条，与已知的 {older.known} 条{zh}不衔接，未恢复；请用较新的备份，确须舍弃其后的内容则加 --older",
            f"the log of {file} has {older.size} entries and does not continue the {older.known} that are known{en}; nothing was "
            "restored: take a newer backup or, to do without what came later, --older",
            kind=Kind.PROOF,
        ) from older
    finally:
        await log.database.close()


async def _head_if_readable(place: Place) -> LogHead | None:
    with contextlib.suppress(ServiceError):  # a damaged database is why backups are restored
        if revision(place) == HEAD:
            async with _opened(place) as database:
                return await _head(database)
    return None


async def _check_continues(backup: Database, head: LogHead, place: Place) -> None:
    there = await _head_if_readable(place)
    if there is None or there.origin != head.origin:
        return
    async with backup.read() as connection:
        if there.size > head.size or await root_at(connection, there.size) != there.root:
            raise RolledBackError(head.size, there.size, str(place))


async def _restore_file(file: Path, place: Path, progress: Progress) -> Path | None:
    fresh = place.with_name(f".{place.name}.restored")
    fresh.unlink(missing_ok=True)
    async with _opened(file) as source:
        await snapshot(source, fresh, progress)
    _settle(fresh)
    kept = _put_aside(place, "before")
    fresh.replace(place)
    return kept


async def move_home(home: Home, url: str, password_file: str, progress: Progress) -> dict[str, Any]:
    """Copy a home's database into an empty one on a server and recompute it there; the log's root stays the same.

    The file is put aside, so that nobody goes on writing to it.

    Raises:
        ServiceError: `database-moved-already`, `service-running`, `database-not-empty`, or `move-failed` where the copy
            does not verify.

    """
    settings = load_settings(home.settings_file)
    source = home.place(settings)
    if not isinstance(source, Path):
        raise ServiceError(
            "database-moved-already",
            "该数据目录已使用服务器上的数据库",
            "this home uses a database on a server already",
            kind=Kind.CONFLICT,
        )
    moved = new_settings(**settings.model_dump() | {"database_url": url, "database_password_file": password_file})
    target = home.place(moved)
    require_head(source)
    upgrade(target)
    async with _alone(source), _opened(source) as origin, _opened(target) as goal:
        rows = await copy_database(origin, goal, progress)
        before, after = await _head(origin), await _head(goal)
        async with goal.read() as connection:
            report = await verify_ledger(connection, progress)
    if not report["ok"] or (before.size, before.root) != (after.size, after.root):
        raise ServiceError(
            "move-failed",
            "迁移后的账本与原账本不符，请勿启用",
            "the copy does not agree with the original; do not use it",
            kind=Kind.PROOF,
        )
    return _report(after, _put_aside(source, "moved")) | {"rows": rows}


def _require_new(file: Path) -> None:
    if file.exists():
        raise ServiceError("file-exists", f"{file} 已存在", f"{file} exists already", kind=Kind.CONFLICT)


def _report(head: LogHead, kept: Path | None) -> dict[str, Any]:
    return {"size": head.size, "root": head.root.hex(), "kept": kept and str(kept)}


@contextlib.asynccontextmanager
async def _alone(place: Place) -> AsyncIterator[None]:
    """Hold the writer's lease of a database that is there and can be read: no service runs meanwhile."""
    try:
        present = revision(place) == HEAD
    except ServiceError:  # a damaged database is why backups are restored
        present = False
    if not present:
        yield
        return
    async with _opened(place) as database:
        held = await acquire(database, this_process())
        if held is None:
            raise ServiceError(
                "service-running",
                "服务正在运行；请先停止",
                "the service is running; stop it first",
                kind=Kind.UNAVAILABLE,
            )
        try:
            yield
        finally:
            await release(database, held)


@contextlib.asynccontextmanager
async def _opened(place: Place) -> AsyncIterator[Database]:
    database = Database(place)
    try:
        yield database
    finally:
        await database.close()


async def _head(database: Database) -> LogHead:
    async with database.read() as connection:
        try:
            found = await load_head(connection)
        except ValueError:
            found = None
    if found is None:
        raise ServiceError("no-ledger", "数据库中没有账本", "the database holds no ledger", kind=Kind.UNAVAILABLE)
    return found


def _settle(file: Path) -> None:
    """Everything is in the one file, which closing it does, and on disk."""
    wal = file.with_name(f"{file.name}-wal")
    if wal.is_file() and wal.stat().st_size:
        raise ServiceError("file-in-use", f"{file} 仍被占用", f"{file} is still in use", kind=Kind.UNAVAILABLE)
    for companion in (wal, file.with_name(f"{file.name}-shm")):
        companion.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_aside(place: Path, why: str) -> Path | None:
    """Rename a database with its companions: nothing is lost."""
    if not place.is_file():
        return None
    kept = place.with_name(f"{place.name}.{why}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    for suffix in ("-wal", "-shm"):
        companion = place.with_name(place.name + suffix)
        if companion.is_file():
            companion.rename(kept.with_name(kept.name + suffix))
    place.rename(kept)
    return kept
