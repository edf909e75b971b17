"""Whether what the database keeps beside the leaves is what the leaves add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from ledger import tables
from ledger.amount import INT64_MAX
from ledger.changes import LogHead
from ledger.entry import NO_SEQ, Entry, public_id_of
from ledger.places import NS_PER_DAY, PLACES_PER_ROW, Axis, pack_places
from ledger.sql import Connection
from ledger.standing import Fault, HoldTold, Standing, Wrong
from ledger.store import load_assets
from ledger.verify import Replay
from suanquan.db import audit
from suanquan.db.audit import AccountRow

_UNKNOWN = Wrong("日志中没有这个账户", "the log does not know this account")
_MISSING = Wrong("账户行缺失", "the row of this account is missing")
_OPENING = Wrong("与开户分录不符", "is not what its first entry says")
_BALANCE = Wrong("余额缓存与日志不符", "the cached balance is not what the log adds up to", "balances")
_EXTRA_BALANCE = Wrong("余额表中有多余的行", "the table holds balances of no account", "balances")
_EXTRA_NAME = Wrong("名称表中有多余的行", "the table holds names of no account, or of one that was erased")
_INDEX = Wrong("账户索引与日志不符", "the index does not say what the log says")
_HOLD = Wrong("冻结与日志不符", "the hold is not what the log says", "holds")
_REVERSAL = Wrong("冲正累计与日志不符", "the sum of reversals is not what the log says")
_TILE = Wrong("默克尔树瓦片与日志不符", "the tile is not what the leaves hash to", "root")
_EXTRA_TILE = Wrong("瓦片表中有多余的行", "the table holds tiles that are not full, or of no level", "root")
_ASSET = Wrong("资产表与日志不符", "the assets are not those that the log registered")
_ERASED = Wrong("删除登记与日志不符", "is not what the log says of erasures")
_HEAD = Wrong(
    "日志头的树、时间、账户数或期间不符", "its tree, time, accounts or periods are not those of the log", "root"
)
_PAYLOADS = Wrong("附件表中有多余的行", "the table holds payloads of no entry")
_ENTRIES = Wrong("分录表中有其他分片的行", "the table holds entries of another shard")
_FAILED = Wrong("已记账的编号被登记为拒绝", "counts an id as refused that was recorded, or is none")
_MODULUS = 1 << 256


@dataclass(slots=True)
class Indexes:
    """What the indexes of each account (by number) must say: the newest places, and digests of the rows of the rest."""

    recent: list[bytes] = field(default_factory=lambda: [b""])
    trails: list[bytes] = field(default_factory=lambda: [b""])
    dated: dict[int, int] = field(default_factory=dict)

    def open(self) -> None:
        """One more account."""
        self.recent.append(b"")
        self.trails.append(b"")

    def touch(self, numbers: Iterable[int], seq: int, recorded_ns: int) -> None:
        """An entry touches accounts; eight places make a row."""
        place = pack_places((seq, recorded_ns))
        for number in dict.fromkeys(numbers):
            recent = self.recent[number] + place
            if len(recent) == PLACES_PER_ROW * len(place):
                self.trails[number] = _link(self.trails[number], recent)
                recent = b""
            self.recent[number] = recent

    def date(self, entry: Entry, accounts: dict[bytes, Standing]) -> None:
        """An entry is effective at another time than it was recorded."""
        moved: dict[int, list[int]] = {}
        for leg in entry.legs:
            if leg.layer == 0:
                moved.setdefault(accounts[leg.public_id].number, [0, 0])[leg.side] += leg.amount
        for number, (debits, credits_) in moved.items():
            for axis, at in ((Axis.RECORDED, entry.recorded_ns), (Axis.EFFECTIVE, entry.effective_ns)):
                _add(self.dated, number, (int(axis), at, entry.seq, debits, credits_))


def _link(trail: bytes, row: bytes) -> bytes:
    return sha256(trail + row).digest()


def _add(sums: dict[int, int], account: int, row: tuple[int, ...], sign: int = 1) -> None:
    """Add a row to, or take it from, the sum of an account's rows, whatever their order."""
    digest = int.from_bytes(sha256(repr(row).encode()).digest())
    left = (sums.get(account, 0) + sign * digest) % _MODULUS
    if left:
        sums[account] = left
    else:
        sums.pop(account, None)


def check_head(replay: Replay, head: LogHead) -> Fault | None:
    """The end of the log is where its leaves end."""
    frontier = replay.frontier
    if (frontier.size, frontier.root()) != (head.size, head.root):
        return Fault(
            f"log_state, entry {frontier.size}",
            f"日志头记 {head.size} 条，重算为 {frontier.size} 条，或根不符",
            f"the head says {head.size} entries, there are {frontier.size}, or the roots differ",
            "root",
        )
    told = frontier.nodes, replay.last_ns, len(replay.accounts) + 1, replay.closed_ns, replay.closed_seq
    kept = head.frontier.nodes, head.last_ns, head.next_account, head.closed_ns, head.closed_seq
    return None if told == kept else _HEAD.at("log_state")


async def check_accounts(
    conn: Connection, replay: Replay, indexes: Indexes, head: LogHead, unnamed: set[int]
) -> Fault | None:
    """Every account has its row, the name that its pseudonym stands for unless it was erased, and its balance."""
    number = 0
    async for row in audit.accounts(conn):
        number += 1
        standing = replay.accounts.get(row.public_id)
        if row.number > number:
            return _MISSING.at(f"account {number}")
        if standing is None:
            return _UNKNOWN.at(row.title)
        named = row.name is not None and public_id_of(row.name, head.pseudonym_key) == row.public_id
        if (row.number, row.asset, named) != (standing.number, standing.asset, number not in unnamed):
            return _OPENING.at(row.title)
        if _cached(row, standing) != _told(standing, indexes.recent[number]):
            return _BALANCE.at(f"balance of {row.title}")
    if number != len(replay.accounts):
        return _MISSING.at(f"account {number + 1}")
    if await audit.count(conn, tables.balance) != number:
        return _EXTRA_BALANCE.at("balance")
    return (
        _EXTRA_NAME.at("account_name")
        if await audit.count(conn, tables.account_name) != number - len(unnamed)
        else None
    )


def _cached(row: AccountRow, standing: Standing) -> tuple[object, ...]:
    limits = (row.floor, row.ceiling) if standing.knows_limits else None
    return limits, row[6:]


def _told(standing: Standing, recent: bytes) -> tuple[object, ...]:
    limits = (standing.floor, standing.ceiling) if standing.knows_limits else None
    *totals, last_seq = standing.as_tuple()
    return limits, (standing.restriction, *totals, -1 if last_seq == NO_SEQ else last_seq, recent)


async def check_touched(conn: Connection, indexes: Indexes) -> Fault | None:
    """The index from accounts to entries holds exactly the entries whose legs name the account."""
    account, trail = 0, b""
    async for number, first_ns, places in audit.stream(conn, audit.in_order(tables.touched)):
        if not 0 < number < len(indexes.trails) or first_ns != int.from_bytes(places[8:16]):
            return _INDEX.at(f"touched, account {number}")
        if number != account:
            if trail != indexes.trails[account]:
                return _INDEX.at(f"touched, account {account}")
            indexes.trails[account], account, trail = b"", number, b""
        trail = _link(trail, places)
    if trail != indexes.trails[account]:
        return _INDEX.at(f"touched, account {account}")
    indexes.trails[account] = b""
    missing = next((number for number, left in enumerate(indexes.trails) if left), None)
    return None if missing is None else _INDEX.at(f"touched, account {missing}")


async def check_dated(conn: Connection, indexes: Indexes) -> Fault | None:
    """The index of what is dated otherwise holds exactly that, and each day's sum is that of its rows."""
    days: dict[int, int] = {}
    key, sums = (0, 0, 0), (0, 0)
    async for account, axis, at_ns, seq, debits, credits_ in audit.stream(conn, audit.in_order(tables.dated)):
        _add(indexes.dated, account, (axis, at_ns, seq, debits, credits_), -1)
        day = account, axis, at_ns // NS_PER_DAY
        if day != key:
            _add(days, key[0], (*key[1:], *sums))
            key, sums = day, (0, 0)
        sums = sums[0] + debits, sums[1] + credits_
    _add(days, key[0], (*key[1:], *sums))
    if indexes.dated:
        return _INDEX.at(f"dated, account {min(indexes.dated)}")
    _add(days, 0, (0, 0, 0, 0), -1)  # the sum before the first row
    async for account, axis, number, debits, credits_ in audit.stream(conn, audit.in_order(tables.dated_day)):
        _add(days, account, (axis, number, debits, credits_), -1)
    return _INDEX.at(f"dated_day, account {min(days)}") if days else None


async def check_holds(conn: Connection, replay: Replay, holds: Iterable[HoldTold]) -> Fault | None:
    """Holds are stored as their entries tell them."""
    told = {hold.seq: _rows(replay, hold) for hold in holds}
    stored = await audit.holds(conn, told)
    wrong = next((seq for seq in sorted(told) if stored.get(seq) != told[seq]), None)
    return None if wrong is None else _HOLD.at(f"hold {wrong}")


def _rows(replay: Replay, hold: HoldTold) -> list[audit.HoldRow]:
    accounts = replay.accounts
    expires = None if hold.expires_ns == INT64_MAX else hold.expires_ns
    return [
        (
            hold.seq, number, accounts[line.debit].number, accounts[line.credit].number, line.amount, line.remaining,
            expires, hold.status,
        )
        for number, line in enumerate(hold.lines)
    ]  # fmt: skip


async def check_open_holds(conn: Connection, replay: Replay) -> Fault | None:
    """Open holds are stored as told, and no others are stored than the log opened."""
    fault = await check_holds(conn, replay, replay.holds.values())
    if fault is None and (extra := await audit.hold_of_nobody(conn)) is not None:
        return _HOLD.at(f"hold {extra}")
    return fault


async def check_reversals(conn: Connection, replay: Replay) -> Fault | None:
    """No more was taken back than was moved, and the stored sums say how much."""
    async for leaf in audit.leaves(conn, replay.reversed):
        if fault := replay.check_original(leaf):
            return fault
    told = {
        (seq, replay.accounts[public].number, side): amount
        for seq, taken in replay.reversed.items()
        for (public, side), amount in taken.items()
    }
    async for seq, account, side, amount in audit.stream(conn, audit.in_order(tables.reversal)):
        if told.pop((seq, account, side), 0) != amount:
            return _REVERSAL.at(f"reversal of entry {seq}")
    return _REVERSAL.at(f"reversal of entry {min(told)[0]}") if told else None


async def check_tiles(conn: Connection, replay: Replay) -> Fault | None:
    """The tiles that became full since the last look are stored, with their roots."""
    stored = await audit.tiles(conn, [(tile.level, tile.number) for tile in replay.tiles])
    for tile in replay.tiles:
        if stored.get((tile.level, tile.number)) != (tile.hashes, tile.root):
            return _TILE.at(f"tile {tile.level}/{tile.number}")
    return None


async def check_registers(
    conn: Connection, replay: Replay, erased: dict[int, tuple[int | None, int]], payloads: int
) -> Fault | None:
    """Assets, erasures and burnt ids are those of the log, and no table holds more rows than the log asks for."""
    stored = {asset.number: asset for asset in (await load_assets(conn)).values()}
    if stored != replay.assets and (replay.knows_assets or not replay.assets.items() <= stored.items()):
        return _ASSET.at("asset")
    told = replay.erased
    for seq in sorted(told.keys() | erased.keys()):
        if told.get(seq) != erased.get(seq, (None, -1))[1]:
            return _ERASED.at(f"erased {seq}")
    if (await audit.recorded_failure(conn)) is not None:
        return _FAILED.at("failed")
    full = sum(replay.size >> 8 * level for level in range(1, 8))
    counted = (
        (tables.payload, payloads, _PAYLOADS),
        (tables.entry, replay.size, _ENTRIES),
        (tables.tile, full, _EXTRA_TILE),
    )
    for table, expected, wrong in counted:
        if await audit.count(conn, table) != expected:
            return wrong.at(table.name)
    return None
