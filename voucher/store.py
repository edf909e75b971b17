"""SQL of vouchers, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select

from ledger.scope import Scope
from ledger.sql import Conflict, Connection, chunks, execute_all, insert_new, insert_rows, select_in
from ledger.tables import balance
from voucher import tables
from voucher.issuance import Prepared, Tokens


@dataclass(frozen=True, slots=True)
class StoredVoucher:
    """A voucher as recorded, with its tokens once released and its ledger totals."""

    jti: str
    scheme: str
    holder: str
    asset: int
    units: int
    account: int
    year: int
    issued_us: int
    from_us: int
    until_us: int
    priority: int
    kid: str
    jwt_input: bytes
    cwt_input: bytes
    event_id: bytes
    request_digest: bytes
    token: str | None
    cwt: str | None
    dual: str | None
    debits_posted: int
    credits_posted: int
    debits_held: int
    returned: int
    expired: int
    split: int


@dataclass(frozen=True, slots=True)
class BoundVoucher:
    """A voucher that may pay for an account's usage at a centre."""

    bound_account: str
    jti: str
    scheme: str
    account: int
    asset: int
    from_us: int
    until_us: int
    priority: int
    issued_us: int


VoucherRow = tuple[Any, ...]


def voucher_row(
    prepared: Prepared,
    *,
    account: int,
    year: int,
    priority: int,
    scheme_digest: str,
    event_id: bytes,
    request_digest: bytes,
) -> VoucherRow:
    """What is kept of a voucher that is about to be signed."""
    voucher = prepared.voucher
    return (
        voucher.jti, voucher.scheme, scheme_digest, voucher.holder, voucher.asset.number, voucher.units, account, year,
        voucher.issued_at_s * 1_000_000, voucher.not_before_s * 1_000_000, voucher.expires_at_s * 1_000_000, priority,
        prepared.key.kid, prepared.jwt_input, prepared.cwt_input, event_id, request_digest,
    )  # fmt: skip


async def write_vouchers(conn: Connection, rows: Sequence[VoucherRow]) -> None:
    """Record what is about to be signed."""
    await insert_rows(conn, tables.voucher, rows)


async def write_released(conn: Connection, jti: str, tokens: Tokens) -> None:
    """Keep the signed tokens; a second release of the same bytes changes nothing."""
    await insert_new(conn, tables.released, (jti, *tokens))


async def issued_in_year(conn: Connection, scheme: str, asset: int, year: int, holder: str | None = None) -> int:
    """Units issued under a scheme in a calendar year by document: to all, or to one holder."""
    table = tables.voucher.c
    split = select(tables.outflow.c.child).where(tables.outflow.c.child.is_not(None))
    query = select(func.coalesce(func.sum(table.units), 0)).where(
        table.scheme == scheme, table.asset == asset, table.year == year, table.jti.not_in(split)
    )
    if holder is not None:
        query = query.where(table.holder == holder)
    return int((await conn.execute(query)).scalar_one())


def _out(*kinds: str) -> Any:
    """Units that left a voucher without paying, of these kinds."""
    flow = tables.outflow.c
    return case((flow.kind.in_(kinds), flow.units), else_=0)


_FLOW = (
    select(
        tables.outflow.c.jti,
        func.sum(_out("returned")).label("returned"),
        func.sum(_out("expired")).label("expired"),
        func.sum(_out("split")).label("split"),
        func.sum(tables.outflow.c.units).label("units"),
    )
    .group_by(tables.outflow.c.jti)
    .subquery()
)
_RETURNED = func.coalesce(tables.revoked.c.returned, 0) + func.coalesce(_FLOW.c.returned, 0)
_UNPAID = func.coalesce(tables.revoked.c.returned, 0) + func.coalesce(_FLOW.c.units, 0)

_WITH_TOTALS: Select[Any] = (
    select(
        tables.voucher,
        tables.released.c.token,
        tables.released.c.cwt,
        tables.released.c.dual,
        balance.c.debits_posted,
        balance.c.credits_posted,
        balance.c.debits_held,
        _RETURNED.label("returned"),
        func.coalesce(_FLOW.c.expired, 0).label("expired"),
        func.coalesce(_FLOW.c.split, 0).label("split"),
    )
    .join_from(tables.voucher, balance, balance.c.account == tables.voucher.c.account)
    .outerjoin(_FLOW, _FLOW.c.jti == tables.voucher.c.jti)
    .outerjoin(tables.released, tables.released.c.jti == tables.voucher.c.jti)
    .outerjoin(tables.revoked, tables.revoked.c.jti == tables.voucher.c.jti)
)


def _stored(row: Any) -> StoredVoucher:
    sums = {name: int(row[name]) for name in ("returned", "expired", "split")}
    return StoredVoucher(**{name: row[name] for name in StoredVoucher.__dataclass_fields__} | sums)


def _within(scope: Scope) -> tuple[ColumnElement[bool], ...]:
    """Condition of a scope on vouchers, which belong to holders."""
    return () if scope.everything else (tables.voucher.c.holder == scope.holder,)


async def load_voucher(conn: Connection, jti: str, scope: Scope) -> StoredVoucher | None:
    """The voucher of this id, if it is inside the scope."""
    query = _WITH_TOTALS.where(tables.voucher.c.jti == jti, *_within(scope))
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None else _stored(row)


async def scheme_of(conn: Connection, jti: str) -> str:
    """Scheme of a voucher that exists."""
    [[(scheme,)]] = await execute_all(conn, [("SELECT scheme FROM voucher WHERE jti = ?", (jti,))])
    return str(scheme)


async def load_vouchers(conn: Connection, jtis: Iterable[str]) -> dict[str, StoredVoucher]:
    """Vouchers of these ids that exist."""
    found: dict[str, StoredVoucher] = {}
    for part in chunks(jtis):
        rows = (await conn.execute(_WITH_TOTALS.where(tables.voucher.c.jti.in_(part)))).mappings()
        found.update((row["jti"], _stored(row)) for row in rows)
    return found


async def any_used(conn: Connection, event_ids: Sequence[bytes]) -> bool:
    """Whether one of these events was recorded, or refused."""
    texts = ("SELECT 1 FROM entry WHERE event_id", "SELECT 1 FROM failed WHERE event_id")
    return any(await execute_all(conn, [one for text in texts for one in select_in(text, event_ids)]))


async def holders_in_year(conn: Connection, scheme: str, asset: int, year: int, holders: Iterable[str]) -> set[str]:
    """Of these holders, who was issued a voucher in a calendar year."""
    text = "SELECT DISTINCT holder FROM voucher WHERE scheme = ? AND asset = ? AND year = ? AND holder"
    rows = await execute_all(conn, select_in(text, holders, scheme, asset, year))
    return {holder for some in rows for (holder,) in some}


async def write_all_released(conn: Connection, signed: Mapping[str, Tokens]) -> None:
    """Keep signed tokens by voucher, unless they were kept before."""
    found = await execute_all(conn, select_in("SELECT jti FROM released WHERE jti", signed))
    known = {jti for rows in found for (jti,) in rows}
    await insert_rows(conn, tables.released, [(jti, *tokens) for jti, tokens in signed.items() if jti not in known])


async def find_issue(conn: Connection, event_id: bytes) -> tuple[str, bytes] | None:
    """Id of the voucher that an issue event recorded, and the digest of the request it came from."""
    table = tables.voucher.c
    row = (await conn.execute(select(table.jti, table.request_digest).where(table.event_id == event_id))).one_or_none()
    return None if row is None else (row.jti, row.request_digest)


async def list_vouchers(conn: Connection, scope: Scope, *, after: str = "", limit: int = 100) -> list[StoredVoucher]:
    """Vouchers in order of id, which is the order of issue."""
    inside = _WITH_TOTALS.where(tables.voucher.c.jti > after, *_within(scope))
    query = inside.order_by(tables.voucher.c.jti).limit(limit)
    return [_stored(row) for row in (await conn.execute(query)).mappings()]


async def newest_vouchers(conn: Connection, scope: Scope, limit: int) -> list[StoredVoucher]:
    """The vouchers issued last, newest first."""
    query = _WITH_TOTALS.where(*_within(scope)).order_by(tables.voucher.c.jti.desc()).limit(limit)
    return [_stored(row) for row in (await conn.execute(query)).mappings()]


async def add_redeemed(conn: Connection, centre: str, units: Mapping[str, int]) -> None:
    """Add yuan units that a scheme's vouchers paid at a centre."""
    rows = [(scheme, centre, amount) for scheme, amount in units.items()]
    await insert_rows(conn, tables.redeemed, rows, Conflict.ADD)


async def load_redeemed(conn: Connection) -> list[tuple[str, str, int]]:
    """Scheme, centre, yuan units paid by vouchers."""
    return [(row.scheme, row.centre, row.units) for row in await conn.execute(select(tables.redeemed))]


async def bind_account(conn: Connection, centre: str, account: str, holder: str) -> None:
    """Let a holder's vouchers pay for an account of a centre's scheduler."""
    await insert_rows(conn, tables.binding, [(centre, account, holder)], Conflict.REPLACE)


async def load_bindings(conn: Connection) -> list[tuple[str, str, str]]:
    """Centre, account, holder."""
    return [(row.centre, row.account, row.holder) for row in await conn.execute(select(tables.binding))]


async def holder_of_account(conn: Connection, centre: str, account: str) -> str:
    """Whose an account is; empty where nobody is bound to it."""
    c = tables.binding.c
    found = (await conn.execute(select(c.holder).where(c.centre == centre, c.account == account))).scalar()
    return str(found or "")


async def issued_to_accounts(conn: Connection, centres: Iterable[str], asset: int) -> int:
    """Units of an asset issued to the holders of accounts at these centres."""
    holders = select(tables.binding.c.holder).where(tables.binding.c.centre.in_(list(centres)))
    total = select(func.coalesce(func.sum(tables.voucher.c.units), 0))
    query = total.where(tables.voucher.c.asset == asset, tables.voucher.c.holder.in_(holders))
    return int((await conn.execute(query)).scalar_one())


async def bound_vouchers(conn: Connection, centre: str, accounts: Iterable[str]) -> list[BoundVoucher]:
    """Vouchers of the holders to whom these accounts of a centre belong."""
    binding, voucher = tables.binding.c, tables.voucher.c
    columns = (voucher.jti, voucher.scheme, voucher.account, voucher.asset, voucher.from_us, voucher.until_us)
    found: list[BoundVoucher] = []
    for part in chunks(accounts):
        query = (
            select(binding.account.label("bound_account"), *columns, voucher.priority, voucher.issued_us)
            .join_from(tables.binding, tables.voucher, voucher.holder == binding.holder)
            .where(binding.centre == centre, binding.account.in_(part))
        )
        found.extend(BoundVoucher(*row) for row in await conn.execute(query))
    return found


async def vouchers_of(conn: Connection, accounts: Iterable[int]) -> list[BoundVoucher]:
    """The vouchers behind ledger accounts, whoever they are bound to."""
    voucher = tables.voucher.c
    columns = (voucher.jti, voucher.scheme, voucher.account, voucher.asset, voucher.from_us, voucher.until_us)
    found: list[BoundVoucher] = []
    for part in chunks(accounts):
        query = select(*columns, voucher.priority, voucher.issued_us).where(voucher.account.in_(part))
        found.extend(BoundVoucher("", *row) for row in await conn.execute(query))
    return found


async def spent_by_holder(conn: Connection, holder: str) -> dict[int, int]:
    """Units that a holder's vouchers have paid, by asset: what was issued, is not there any longer and did not go back."""
    voucher = tables.voucher.c
    left = balance.c.credits_posted - balance.c.debits_posted + _UNPAID
    query = (
        select(voucher.asset, func.sum(voucher.units - left))
        .join_from(tables.voucher, balance, balance.c.account == voucher.account)
        .outerjoin(tables.revoked, tables.revoked.c.jti == voucher.jti)
        .outerjoin(_FLOW, _FLOW.c.jti == voucher.jti)
        .where(voucher.holder == holder)
        .group_by(voucher.asset)
        .order_by(voucher.asset)
    )
    return {asset: int(units) for asset, units in await conn.execute(query)}


# --- status lists -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListRow:
    """A status list: its id, its address, how many places it has, and how many are taken."""

    list: str
    uri: str
    entries: int
    used: int


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """What the status of a place follows from: validity, revocation, restriction and what is left."""

    place: int
    until_us: int
    revoked_us: int | None
    restriction: int
    available: int


async def lists_like(conn: Connection, prefix: str) -> list[ListRow]:
    """Status lists whose id begins so, in the order they were opened."""
    table = tables.status_list
    columns = (table.c.list, table.c.uri, table.c.entries, table.c.used)
    query = (
        select(*columns)
        .where(table.c.list.startswith(prefix, autoescape=True))
        .order_by(table.c.opened_us, table.c.list)
    )
    return [ListRow(*row) for row in await conn.execute(query)]


async def open_list(conn: Connection, row: ListRow, opened_us: int) -> None:
    """Begin a status list."""
    await insert_rows(conn, tables.status_list, [(row.list, row.uri, row.entries, row.used, opened_us)])


async def newest_list(conn: Connection, prefix: str, places: Sequence[int]) -> tuple[int, ListRow | None, set[int]]:
    """Of lists whose id begins so: how many there are, the newest, and which of these places one of them has taken."""
    like = f"{prefix}%"
    own = "SELECT list FROM status_list WHERE list LIKE ?"  # so that the places are found by their key
    [counted], newest, taken = await execute_all(
        conn,
        [
            ("SELECT count(*) FROM status_list WHERE list LIKE ?", (like,)),
            ("SELECT list, uri, entries, used FROM status_list WHERE list LIKE ? ORDER BY opened_us DESC, list DESC LIMIT 1", (like,)),
            (f"SELECT place FROM status_place WHERE list IN ({own}) AND place IN ?", (like, places)),  # noqa: S608 -- own words
        ],
    )  # fmt: skip
    return counted[0], ListRow(*newest[0]) if newest else None, {place for (place,) in taken}


async def take_places(conn: Connection, name: str, places: Mapping[str, int]) -> None:
    """Give vouchers their places."""
    await insert_rows(conn, tables.status_place, [(name, place, jti) for jti, place in places.items()])
    await execute_all(conn, [("UPDATE status_list SET used = used + ? WHERE list = ?", (len(places), name))])


async def load_places(conn: Connection, name: str) -> list[PlaceRow]:
    """Every taken place of a list."""
    place, voucher = tables.status_place.c, tables.voucher.c
    available = balance.c.credits_posted - balance.c.debits_posted - balance.c.debits_held
    query = (
        select(place.place, voucher.until_us, tables.revoked.c.revoked_us, balance.c.restriction, available)
        .join_from(tables.status_place, tables.voucher, voucher.jti == place.jti)
        .join(balance, balance.c.account == voucher.account)
        .outerjoin(tables.revoked, tables.revoked.c.jti == place.jti)
        .where(place.list == name)
    )
    return [PlaceRow(*row) for row in await conn.execute(query)]


async def write_revoked(conn: Connection, jti: str, revoked_us: int, returned: int) -> None:
    """Mark a voucher as revoked for ever, `returned` units of which went back to the budget."""
    await insert_rows(conn, tables.revoked, [(jti, revoked_us, returned)])


async def revoked_at(conn: Connection, jti: str) -> int | None:
    """When a voucher was revoked (UTC epoch microseconds), None where it was not."""
    query = select(tables.revoked.c.revoked_us).where(tables.revoked.c.jti == jti)
    return (await conn.execute(query)).scalar_one_or_none()


async def is_revoked(conn: Connection, jti: str) -> bool:
    """Whether a voucher was revoked."""
    return await revoked_at(conn, jti) is not None
