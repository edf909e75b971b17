"""The log on HTTP: its signed head and tiles for anybody (c2sp.org/tlog-tiles); entries, proofs and accounts for officers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from ledger import log_store
from ledger.errors import Kind, LedgerError
from ledger.tiles import ENTRIES, HEIGHT, WIDTH, Tile, encode_bundle
from ledger.witness import TEXT
from suanquan.errors import ServiceError
from suanquan.http.auth import Caller, Scoped, may
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.use_cases import books
from suanquan.use_cases.receipts import prove_event
from suanquan.use_cases.statements import make_statement, require_own_account

public = api_router(tags=["log"])
officer = api_router(tags=["ledger"])

FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
BINARY = "application/octet-stream"

EventId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
AccountName = Annotated[str, Field(min_length=1, max_length=255)]
Instant = Annotated[str | None, Query(max_length=40)]


@public.get("/log/checkpoint", response_class=Response, dependencies=[may("log.read")])
async def get_checkpoint(service: Opened, *, witnessed: bool = False) -> Response:
    """The newest signed head; with `witnessed` the newest that has its quorum of cosignatures."""
    async with service.database.read() as conn:
        head = await log_store.newest_head(conn, witnessed=witnessed)
    if head is None:
        raise ServiceError("checkpoint-missing", "尚无签名的检查点", "no checkpoint is signed yet", kind=Kind.NOT_FOUND)
    return Response(head.note, media_type=TEXT, headers={"Cache-Control": "no-cache"})


@public.get("/log/tile/{path:path}", response_class=Response, dependencies=[may("log.read")])
async def get_tile(path: str, service: Opened) -> Response:
    """A tile of hashes, or with `entries` in the place of the level a bundle of entries, as far as the newest head goes."""
    try:
        tile = Tile.parse(f"tile/{path}")
    except LedgerError as error:
        raise _no_tile(path) from error
    async with service.database.read() as conn:
        head = await log_store.newest_head(conn)
        level = max(tile.level, 0)
        if head is None or tile.number * WIDTH + tile.width > head.size >> HEIGHT * level:
            raise _no_tile(path)
        if tile.level == ENTRIES:
            data = encode_bundle(await log_store.load_bundle(conn, tile.number, tile.width))
        else:
            data = (await log_store.load_tiles(conn, [tile]))[tile]
    return Response(data, media_type=BINARY, headers=FOR_EVER)


def _no_tile(path: str) -> ServiceError:
    return ServiceError(
        "tile-unknown", f"没有日志切片 {path[:80]}", f"the log has no tile {path[:80]!r}", kind=Kind.NOT_FOUND
    )


@officer.get("/v1/ledger/events/{event_id}", dependencies=[may("ledger.read")])
async def get_event(event_id: EventId, service: Opened) -> dict[str, Any]:
    """What became of a request: recorded or refused for good."""
    async with service.database.read() as conn:
        return await books.event_fate(conn, event_id)


@officer.get("/v1/ledger/events/{event_id}/proof", response_class=Response, dependencies=[may("ledger.read")])
async def get_proof(event_id: EventId, service: Opened) -> Response:
    """The `.tlog-proof` of an event, with its content."""
    return Response(await prove_event(service.log, event_id), media_type=TEXT)


@officer.get("/v1/ledger/accounts/{name:path}/balance", dependencies=[may("ledger.read")])
async def get_balance(
    name: AccountName, service: Opened, at: Instant = None, effective: Instant = None
) -> dict[str, Any]:
    """What an account has, had as recorded at a moment, or has by what is dated until a moment."""
    async with service.database.read() as conn:
        return await books.account_balance(conn, name, at, effective)


@officer.get("/v1/ledger/accounts/{name:path}/lines", dependencies=[may("ledger.read")])
async def get_lines(
    name: AccountName, service: Opened, before: Instant = None, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> dict[str, Any]:
    """An account's newest entries; `next` continues."""
    async with service.database.read() as conn:
        return await books.account_lines(conn, name, before, limit)


@officer.get(
    "/v1/ledger/accounts/{name:path}/statement",
    response_class=Response,
    dependencies=[may("statement.make", scoped=True)],
)
async def get_statement(
    name: AccountName,
    service: Opened,
    scope: Scoped,
    caller: Caller,
    from_: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    until: Instant = None,
) -> Response:
    """A statement over a period that proves to be complete; where no entry follows the period, a MARK is recorded.

    A holder gets those of its own vouchers' accounts.
    """
    await require_own_account(service.database, scope, name)
    data = await make_statement(service.log, service.journal, service.now_us * 1000, caller.name, name, from_, until)
    return Response(data, media_type="application/json")
