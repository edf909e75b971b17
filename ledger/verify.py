"""Recompute a log from its leaves with code that shares nothing with the writer but the leaf format and the tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ledger.amount import BASE_ASSETS, INT64_MAX, Asset
from ledger.edge import Edge, Tile
from ledger.entry import (
    HOLD_LINES_MAX,
    NO_SEQ,
    Entry,
    EntryKind,
    Layer,
    PostedLeg,
    Restriction,
    Side,
    asset_payload,
    parse_limits,
)
from ledger.errors import LedgerError
from ledger.leaf import MAGIC, SCHEMA, TWO_LEGS_FOLDED, decode
from ledger.standing import Fault, HoldTold, LineTold, Standing, Wrong
from ledger.tree import Frontier, hash_leaf

_ENDS = {EntryKind.CAPTURE: 1, EntryKind.RELEASE: 2, EntryKind.EXPIRE: 3}
"""Status of a hold that such an entry leaves with nothing; 0 is open."""
_WITHOUT_LEGS = {EntryKind.GENESIS, EntryKind.NOTE, EntryKind.CLOSE_PERIOD, EntryKind.ASSET, EntryKind.ERASE}
_OF_ONE_ACCOUNT = {EntryKind.OPEN, EntryKind.LIMIT, EntryKind.STATUS, EntryKind.MARK}
_POSTINGS = {EntryKind.POST, EntryKind.REVERSE}
_DATED = {EntryKind.POST, EntryKind.REVERSE, EntryKind.CAPTURE}
_REVERSIBLE = {EntryKind.POST, EntryKind.CAPTURE}

_NUMBER = Wrong("序号不连续", "is not numbered as it stands", "sequence")
_TIME = Wrong("记录时间没有递增", "recorded time does not increase", "time")
_KIND = Wrong("分录行与其种类不符", "its legs are not those of its kind")
_PAYLOAD = Wrong("附件与其种类不符", "its payload is not that of its kind")
_UNBALANCED = Wrong("借贷不平", "debits and credits differ", "sum-zero")
_FOLLOWS = Wrong("与该账户上一笔不衔接", "does not follow the account's previous entry", "chain")
_TOTALS = Wrong("记账后的累计数不符", "totals after the leg are wrong", "chain")
_RANGE = Wrong("累计数超出范围", "a total is out of range")
_LIMITS = Wrong("超出账户的限额", "an account is beyond its limits")
_FROZEN = Wrong("账户已冻结", "debits an account that is frozen")
_LEGAL = Wrong("账户被司法冻结", "debits an account under a legal hold")
_CLOSED = Wrong("账户已销户", "touches a closed account")
_NOT_EMPTY = Wrong("销户时账户不空", "closes an account that is not empty")
_NO_HOLD = Wrong("没有这笔未结的冻结", "its hold is closed or unknown", "holds")
_ACCOUNTS = Wrong("不是该冻结的账户", "its accounts are not those of the hold", "holds")
_LEFT = Wrong("解冻与冻结余额不符", "does not free what the hold has left", "holds")
_EXPIRY = Wrong("早于或晚于冻结的期限", "comes before or after the hold expires", "holds")
_REFERENCE = Wrong("所指分录不在其前", "does not refer to an earlier entry")
_ORIGINAL = Wrong("冲正超过原分录", "its reversals are more than it moved, or it cannot be reversed")
_PERIOD = Wrong("记入已结账的期间", "is dated in a closed period")
_CLOSING = Wrong("所结期间已结账或尚未结束", "closes a period that is closed or not over")
_LATE = Wrong("补记未记在记录之时", "a late posting is not dated when it is recorded")
_ASSET = Wrong("资产未登记或重复登记", "its asset is unknown, or registered twice")


@dataclass(slots=True)
class Replay:
    """The state of a log, folded from its leaves one by one. Accounts are known by their public ids.

    Payloads are optional: without them limits and assets are not known, and not judged. Closed holds and full tiles are
    put aside for the caller, who compares and drops them: what stays in memory is accounts, open holds and reversals.
    """

    size: int = 0
    last_ns: int = 0
    closed_ns: int = 0
    closed_seq: int = NO_SEQ
    accounts: dict[bytes, Standing] = field(default_factory=dict)
    holds: dict[int, HoldTold] = field(default_factory=dict)
    ended: list[HoldTold] = field(default_factory=list)
    reversed: dict[int, dict[tuple[bytes, int], int]] = field(default_factory=dict)
    assets: dict[int, Asset] = field(default_factory=lambda: {asset.number: asset for asset in BASE_ASSETS})
    knows_assets: bool = True
    erased: dict[int, int] = field(default_factory=dict)
    edge: Edge = field(default_factory=Edge)
    tiles: list[Tile] = field(default_factory=list)

    @property
    def frontier(self) -> Frontier:
        """Of the tree of the leaves so far."""
        return self.edge.frontier

    def add(self, leaf: bytes, payload: bytes | None = None) -> Entry | Fault:
        """Fold in the next leaf; a fault names what in it contradicts the leaves before."""
        found = self._take(leaf, payload)
        if isinstance(found, Entry):
            self.tiles += self.edge.extend((hash_leaf(leaf),))
        return found

    def fold(self, leaves: Iterable[bytes], payloads: Mapping[int, bytes] | None = None) -> Fault | None:
        """`add` for many leaves, whose hashes somebody else takes; payloads by number, as far as they are known.

        The common entry, a debit and a credit that break nothing, takes the short way; all others are judged as in `add`.
        """
        payloads = payloads or {}
        accounts, unpack, length, post = (
            self.accounts,
            TWO_LEGS_FOLDED.unpack,
            TWO_LEGS_FOLDED.size,
            int(EntryKind.POST),
        )
        size, last_ns, closed_ns = self.size, self.last_ns, self.closed_ns
        for leaf in leaves:
            if len(leaf) == length and leaf[4] == post:
                (
                    magic, _, flags, schema, shard, seq, recorded, effective, ref, legs_bytes,
                    p1, a1, s1, l1, x0, m1, v1, x1, dp1, x2, cp1, x3, dh1, x4, ch1,
                    p2, a2, s2, l2, y0, m2, v2, y1, dp2, y2, cp2, y3, dh2, y4, ch2,
                ) = unpack(leaf)  # fmt: skip
                one, two = accounts.get(p1), accounts.get(p2)
                if (
                    one is not None and two is not None and one is not two
                    and seq == size and recorded > last_ns and effective >= closed_ns and ref == NO_SEQ
                    and m1 == m2 and m1 and one.asset == a1 == a2 == two.asset
                    and v1 == one.last_seq and v2 == two.last_seq
                    and dp1 == one.debits_posted + m1 and cp1 == one.credits_posted
                    and dp2 == two.debits_posted and cp2 == two.credits_posted + m2
                    and dh1 == one.debits_held and ch1 == one.credits_held
                    and dh2 == two.debits_held and ch2 == two.credits_held
                    and dp1 <= INT64_MAX and cp2 <= INT64_MAX and s2 == 1 and legs_bytes == _TWO and schema == SCHEMA
                    and not (one.restriction | two.restriction | s1 | l1 | l2 | flags | shard)
                    and not (x0 | x1 | x2 | x3 | x4 | y0 | y1 | y2 | y3 | y4) and magic == MAGIC
                    and (one.floor is None or cp1 - dp1 - dh1 >= one.floor)
                    and (two.ceiling is None or cp2 + ch2 - dp2 <= two.ceiling)
                ):  # fmt: skip
                    one.debits_posted, two.credits_posted = dp1, cp2
                    one.last_seq = two.last_seq = seq
                    size, last_ns = size + 1, recorded
                    continue
            self.size, self.last_ns = size, last_ns
            found = self._take(leaf, payloads.get(size))
            if isinstance(found, Fault):
                return found
            size, last_ns, closed_ns = self.size, self.last_ns, self.closed_ns
        self.size, self.last_ns = size, last_ns
        return None

    def _take(self, leaf: bytes, payload: bytes | None) -> Entry | Fault:
        where = f"entry {self.size}"
        try:
            entry, shard = decode(leaf)
        except LedgerError as error:
            return Fault(where, error.zh, error.en)
        if (shard, entry.seq) != (0, self.size):
            return _NUMBER.at(where)
        if entry.recorded_ns <= self.last_ns:
            return _TIME.at(where)
        wrong = _legs_of_kind(entry) or self._dates(entry) or self._rules(entry, payload)
        fault = wrong.at(where) if wrong else self._move(entry)
        if fault is not None:
            return fault
        self.size, self.last_ns = entry.seq + 1, entry.recorded_ns
        return entry

    def _dates(self, entry: Entry) -> Wrong | None:
        """Periods end once and for ever: nothing that moves money is dated before the last close."""
        kind, effective = entry.kind, entry.effective_ns
        if kind == EntryKind.CLOSE_PERIOD:
            if not self.closed_ns < effective <= entry.recorded_ns:
                return _CLOSING
            self.closed_ns, self.closed_seq = effective, entry.seq
        elif kind in _DATED and effective < self.closed_ns:
            return _PERIOD
        elif kind == EntryKind.POST and entry.ref_seq == self.closed_seq != NO_SEQ and effective != entry.recorded_ns:
            return _LATE
        return None

    def _rules(self, entry: Entry, payload: bytes | None) -> Wrong | None:
        """What its kind asks for beyond legs and dates; registers the change that it makes."""
        match entry.kind:
            case EntryKind.OPEN:
                return self._open(entry, payload)
            case EntryKind.LIMIT:
                return self._limit(entry, payload)
            case EntryKind.STATUS:
                return self._status(entry)
            case EntryKind.ASSET:
                return self._asset(payload)
            case EntryKind.ERASE:
                self.erased.setdefault(entry.ref_seq, entry.seq)
                return None if entry.ref_seq < entry.seq else _REFERENCE
            case EntryKind.HOLD:
                return self._restrictions(entry) or self._hold(entry)
            case EntryKind.POST | EntryKind.REVERSE | EntryKind.MARK:
                return self._restrictions(entry) or self._reverse(entry)
            case EntryKind.CAPTURE | EntryKind.RELEASE | EntryKind.EXPIRE:
                return self._unhold(entry)
        return None

    def _open(self, entry: Entry, payload: bytes | None) -> Wrong | None:
        leg = entry.legs[0]
        if leg.public_id in self.accounts:
            return _FOLLOWS
        if self.knows_assets and leg.asset not in self.assets:
            return _ASSET
        account = self.accounts[leg.public_id] = Standing(len(self.accounts) + 1, leg.asset)
        return _learn_limits(account, payload)

    def _limit(self, entry: Entry, payload: bytes | None) -> Wrong | None:
        account = self.accounts.get(entry.legs[0].public_id)
        if account is None:
            return _FOLLOWS
        return _CLOSED if account.restriction & Restriction.CLOSED else _learn_limits(account, payload)

    def _status(self, entry: Entry) -> Wrong | None:
        account = self.accounts.get(entry.legs[0].public_id)
        if account is None:
            return _FOLLOWS
        if account.restriction & Restriction.CLOSED:
            return _CLOSED
        account.restriction = entry.flags
        return _NOT_EMPTY if entry.flags & Restriction.CLOSED and not account.is_empty else None

    def _asset(self, payload: bytes | None) -> Wrong | None:
        if payload is None:
            self.knows_assets = False
            return None
        try:
            code, _, rest = payload.decode().partition("=")
            number, scale = map(int, rest.split("/"))
        except ValueError:
            return _PAYLOAD
        if number in self.assets or any(asset.code == code for asset in self.assets.values()):
            return _ASSET
        asset = self.assets[number] = Asset(code, number, scale)
        return None if payload == asset_payload(asset) else _PAYLOAD

    def _restrictions(self, entry: Entry) -> Wrong | None:
        """Nothing but a mark touches a closed account; neither a frozen one nor one under a legal hold is debited."""
        for leg in entry.legs:
            account = self.accounts.get(leg.public_id)
            if account is None or not account.restriction or entry.kind == EntryKind.MARK:
                continue
            if account.restriction & Restriction.CLOSED:
                return _CLOSED
            if leg.side == Side.DEBIT:
                return _LEGAL if account.restriction & Restriction.LEGAL_HOLD else _FROZEN
        return None

    def _hold(self, entry: Entry) -> Wrong | None:
        pairs = list(_pairs(entry.legs))
        if len({(one.public_id, two.public_id) for one, two in pairs}) != len(pairs):
            return _KIND
        if entry.effective_ns <= entry.recorded_ns:
            return _EXPIRY
        lines = [LineTold(one.public_id, two.public_id, one.amount, one.amount) for one, two in pairs]
        self.holds[entry.seq] = HoldTold(entry.seq, lines, entry.effective_ns)
        return None

    def _unhold(self, entry: Entry) -> Wrong | None:
        """A capture, release or expiry comes in its time and frees what it captures, or all that the hold has left."""
        hold = self.holds.get(entry.ref_seq)
        if hold is None:
            return _NO_HOLD
        freed = _by_line(hold, [leg for leg in entry.legs if leg.layer == Layer.HELD])
        captured = _by_line(hold, [leg for leg in entry.legs if leg.layer == Layer.POSTED])
        if freed is None or captured is None:
            return _ACCOUNTS
        left = [line.remaining for line in hold.lines]
        if freed not in (captured, left) or any(c > f or f > r for c, f, r in zip(captured, freed, left, strict=True)):
            return _LEFT
        if (entry.recorded_ns >= hold.expires_ns) != (entry.kind == EntryKind.EXPIRE):
            return _EXPIRY
        if entry.kind == EntryKind.CAPTURE and any(
            self.accounts[line.debit].restriction & Restriction.LEGAL_HOLD for line in hold.lines
        ):
            return _LEGAL
        for line, amount in zip(hold.lines, freed, strict=True):
            line.remaining -= amount
        if freed == left:
            hold.status = _ENDS[EntryKind(entry.kind)]
            self.ended.append(self.holds.pop(hold.seq))
        return None

    def _reverse(self, entry: Entry) -> Wrong | None:
        """Reversals are summed by the leg they take back, and compared with the original when its leaf is at hand."""
        if entry.kind != EntryKind.REVERSE:
            return None
        if entry.ref_seq >= entry.seq:
            return _REFERENCE
        sums = self.reversed.setdefault(entry.ref_seq, {})
        for leg in entry.legs:
            key = leg.public_id, 1 - leg.side
            sums[key] = sums.get(key, 0) + leg.amount
        return None

    def check_original(self, leaf: bytes) -> Fault | None:
        """Compare what was taken back of an entry with what it moved."""
        original, _ = decode(leaf)
        left: dict[tuple[bytes, int], int] = {}
        for leg in original.legs:
            if leg.layer == Layer.POSTED:
                key = leg.public_id, leg.side
                left[key] = left.get(key, 0) + leg.amount
        taken = self.reversed[original.seq]
        sound = original.kind in _REVERSIBLE and all(amount <= left.get(key, 0) for key, amount in taken.items())
        return None if sound else _ORIGINAL.at(f"entry {original.seq}")

    def _move(self, entry: Entry) -> Fault | None:
        """Every leg carries on from the account's last one, to the unit, and leaves the account within its limits."""
        for leg in entry.legs:
            account = self.accounts.get(leg.public_id)
            if account is None or (leg.asset, leg.prev_seq) != (account.asset, account.last_seq):
                return _FOLLOWS.at(_place(entry, leg))
            amount = -leg.amount if leg.layer == Layer.HELD and entry.kind in _ENDS else leg.amount
            dp, cp, dh, ch, _ = account.as_tuple()
            match leg.layer, leg.side:
                case Layer.POSTED, Side.DEBIT:
                    dp += amount
                case Layer.POSTED, Side.CREDIT:
                    cp += amount
                case Layer.HELD, Side.DEBIT:
                    dh += amount
                case _:
                    ch += amount
            if (dp, cp, dh, ch) != leg[7:]:
                return _TOTALS.at(_place(entry, leg))
            account.debits_posted, account.credits_posted, account.debits_held, account.credits_held = dp, cp, dh, ch
            account.last_seq = entry.seq
        for leg in entry.legs:
            account = self.accounts[leg.public_id]
            if not account.is_storable:
                return _RANGE.at(_place(entry, leg))
            if not account.keeps_limits:
                return _LIMITS.at(_place(entry, leg))
        return None


_TWO = 220


def _place(entry: Entry, leg: PostedLeg) -> str:
    return f"entry {entry.seq}, account {leg.public_id.hex()}"


def _pairs(legs: tuple[PostedLeg, ...] | list[PostedLeg]) -> Iterable[tuple[PostedLeg, PostedLeg]]:
    return zip(legs[::2], legs[1::2], strict=False)


def _legs_of_kind(entry: Entry) -> Wrong | None:
    """The layers, sides and amounts that the kind prescribes, in balance; GENESIS is the first entry and no other."""
    kind, legs = entry.kind, entry.legs
    if (kind == EntryKind.GENESIS) != (entry.seq == 0):
        return _KIND
    if kind in _WITHOUT_LEGS:
        return _KIND if legs else None
    layers, sides = [leg.layer for leg in legs], [leg.side for leg in legs]
    if kind in _OF_ONE_ACCOUNT:
        named = (layers, sides) == ([Layer.POSTED], [Side.CREDIT]) and legs[0].amount == 0
        return None if named and (kind != EntryKind.OPEN or legs[0].prev_seq == NO_SEQ) else _KIND
    if len(legs) < 2 or any(leg.amount == 0 for leg in legs):
        return _KIND
    if kind in _POSTINGS:
        return _KIND if Layer.HELD in layers else _unbalanced(legs)
    held = layers.count(Layer.HELD)
    posted = len(legs) - held
    prescribed = [Layer.HELD] * held + [Layer.POSTED] * posted
    if layers != prescribed or sides != [Side.DEBIT, Side.CREDIT] * (len(legs) // 2) or held % 2 or held == 0:
        return _KIND
    if (posted > 0) != (kind == EntryKind.CAPTURE) or max(held, posted) > 2 * HOLD_LINES_MAX:
        return _KIND
    unpaired = any((one.amount, one.asset) != (two.amount, two.asset) for one, two in _pairs(legs))
    return _unbalanced(legs) or (_KIND if unpaired else None)


def _unbalanced(legs: tuple[PostedLeg, ...]) -> Wrong | None:
    sums: dict[tuple[int, int], int] = {}
    for leg in legs:
        key = leg.asset, leg.layer
        sums[key] = sums.get(key, 0) + (leg.amount if leg.side == Side.CREDIT else -leg.amount)
    return _UNBALANCED if any(sums.values()) else None


def _by_line(hold: HoldTold, legs: list[PostedLeg]) -> list[int] | None:
    """Amounts of pairs of legs by the lines of their hold; None where a pair is of no line, or of one twice."""
    amounts = {(one.public_id, two.public_id): one.amount for one, two in _pairs(legs)}
    found = [amounts.pop((line.debit, line.credit), 0) for line in hold.lines]
    return None if amounts or 2 * sum(amount > 0 for amount in found) != len(legs) else found


def _learn_limits(account: Standing, payload: bytes | None) -> Wrong | None:
    try:
        account.learn(None if payload is None else parse_limits(payload.decode().partition("\n")[0]))
    except ValueError:
        return _PAYLOAD
    return None
