"""Status lists: a place for each voucher when it is issued, and the signed lists that anybody may fetch.

What a list says is read from the ledger when it is signed: nothing else would be believed. A list is signed anew when it is
asked for and older than half a minute, or when this process suspended, resumed or revoked a voucher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from ledger import jws
from ledger.entry import Restriction
from ledger.errors import Kind
from ledger.transaction import Transaction
from suanquan.db.database import Database
from suanquan.errors import ServiceError
from suanquan.use_cases.ingest import Issuer
from voucher import cwt, status_list, store
from voucher.status_list import BITS, ENTRIES, LIFE_S, TTL_S, Status, StatusList, StatusPlace, pack
from voucher.store import ListRow, PlaceRow

REFRESH_S = 30
TRIES = 8
"""Random places tried at once; with half of them taken, all eight are in one case of 256, and eight more are tried."""
FULL_SHARE = 2
"""A list of which one in two places is taken is followed by another."""
_SHANGHAI = timedelta(hours=8)


def quarter_of(at_us: int) -> str:
    """Quarter by the clock of Shanghai, such as `26q4`: how the ids of its lists begin."""
    local = datetime.fromtimestamp(at_us // 1_000_000, UTC) + _SHANGHAI
    return f"{local.year % 100:02d}q{(local.month + 2) // 3}"


async def take_status_place(tx: Transaction, address: str, jti: str) -> StatusPlace:
    """A random free place for one voucher (see `take_status_places`)."""
    return (await take_status_places(tx, address, [jti]))[jti]


async def take_status_places(tx: Transaction, address: str, jtis: Sequence[str]) -> dict[str, StatusPlace]:
    """Random free places in the newest list of the quarter, which is opened when needed.

    A list keeps its address: it stands in every voucher on it. Another `address` of the service begins another list.
    """
    now_us = tx.now_ns // 1000
    quarter = quarter_of(now_us)
    drawn = _draw(tx, len(jtis))
    count, newest, taken = await store.newest_list(tx.connection, quarter, drawn)
    if newest is None or _is_over(newest, address):
        name = f"{quarter}-{count + 1}" if count else quarter
        newest = ListRow(name, _uri(address, name), ENTRIES, 0)
        await store.open_list(tx.connection, newest, now_us)
    while len(free := [place for place in dict.fromkeys(drawn) if place not in taken]) < len(jtis):
        drawn = _draw(tx, len(jtis))
        _, _, taken = await store.newest_list(tx.connection, quarter, drawn)
    places = dict(zip(jtis, free, strict=False))
    await store.take_places(tx.connection, newest.list, places)
    return {jti: StatusPlace(place, newest.uri) for jti, place in places.items()}


def _is_over(listed: ListRow, address: str) -> bool:
    full = listed.used * FULL_SHARE >= listed.entries
    return full or listed.entries != ENTRIES or listed.uri != _uri(address, listed.list)


def _draw(tx: Transaction, count: int) -> list[int]:
    """Random places, distinct from what any list of the quarter has, which the caller sees to."""
    size = 4 * TRIES * count
    entropy = tx.entropy(size)
    return [int.from_bytes(entropy[at : at + 4], "big") % ENTRIES for at in range(0, size, 4)]


def _uri(address: str, name: str) -> str:
    return f"{address}/status-lists/{name}"


@dataclass(frozen=True, slots=True)
class SignedList:
    """A Status List Token in both forms, with what tells one version from another."""

    made_s: int
    jwt: bytes
    cwt: bytes

    def etag(self, data: bytes) -> str:
        """Strong entity tag of a form."""
        return f'"{sha256(data).hexdigest()[:32]}"'


@dataclass(slots=True)
class StatusCache:
    """Signed lists by id, as long as they are fresh; one is made at a time."""

    lists: dict[str, SignedList] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, database: Database, issuer: Issuer, name: str, now_us: int) -> SignedList:
        """The list of an id, signed within the last `REFRESH_S` seconds.

        Raises:
            ServiceError: `status-list-unknown`.

        """
        now_s = now_us // 1_000_000
        async with self.lock:
            found = self.lists.get(name)
            if found is None or not 0 <= now_s - found.made_s < REFRESH_S:
                found = self.lists[name] = await _sign(database, issuer, name, now_us)
            return found


async def _sign(database: Database, issuer: Issuer, name: str, now_us: int) -> SignedList:
    async with database.read() as connection:
        rows = [row for row in await store.lists_like(connection, name) if row.list == name]
        if not rows:
            raise ServiceError(
                "status-list-unknown", f"没有状态列表 {name[:40]}", f"no status list {name[:40]!r}", kind=Kind.NOT_FOUND
            )
        places = await store.load_places(connection, name)
    return await asyncio.to_thread(_signed, rows[0], places, issuer, now_us)


def _signed(row: ListRow, places: Iterable[PlaceRow], issuer: Issuer, now_us: int) -> SignedList:
    now_s = now_us // 1_000_000
    data = pack(_statuses(places, now_us), row.entries)
    listed = StatusList(row.uri, now_s, now_s + LIFE_S, BITS, data, TTL_S)
    jwt_input, cwt_input = status_list.jwt_input(listed, issuer.kid), status_list.cwt_input(listed, issuer.kid)
    return SignedList(
        now_s,
        jws.compact(jwt_input, issuer.sign(jwt_input)).encode("ascii"),
        cwt.sign1(cwt_input, issuer.sign(cwt_input)),
    )


def _statuses(places: Iterable[PlaceRow], now_us: int) -> Iterator[tuple[int, int]]:
    return ((place.place, status) for place in places if (status := status_of(place, now_us)) != Status.VALID)


def status_of(place: PlaceRow, now_us: int) -> Status:
    """What the ledger says of a voucher: over for good, stopped for now, nothing left, or good."""
    if place.revoked_us is not None or place.restriction & Restriction.CLOSED or place.until_us <= now_us:
        return Status.REVOKED
    if place.restriction:
        return Status.SUSPENDED
    return Status.VALID if place.available > 0 else Status.EXHAUSTED
