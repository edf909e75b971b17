"""What a rated batch posts: per account, its vouchers and self-pay against the centre's receivable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from typing import NamedTuple, Protocol

import cbor2

from ledger.amount import ASSETS_BY_NUMBER, CNY, COMPUTE
from ledger.entry import EntryKind, Event, Leg, Side, credit, debit
from ledger.pairs import Posting
from ledger.state import Account
from ledger.transaction import Transaction
from metering import segment
from metering.batch import Batch
from metering.rating import AccountUsage, Rated
from suanquan.use_cases.reopen import reopen
from voucher import hold_store
from voucher import store as voucher_store
from voucher.allocation import NO_BOUND, Charge, Cover, Purse, allocate, charges_along
from voucher.lifecycle import STEPS, Action
from voucher.scheme import Scheme, Series
from voucher.store import BoundVoucher

LEGS_PER_ENTRY = 60
WAIVED = "waived/"
"""Begins the names of accounts of what is charged to nobody."""
COUNTERS = "delegation/"
"""Begins the names of accounts that count what was drawn through delegations: their vouchers paid it, and they pay nothing."""


class About(NamedTuple):
    """What every entry of a batch says: whose usage, the key and digest of the request, the batch and its Merkle root."""

    centre: str
    kid: str
    body_digest: bytes
    number: int
    source: str
    root: bytes
    ruleset: bytes


class ReopensError(Exception):
    """A posting draws on what had broken at a voucher's end: only work that writes rows of its own can post it."""


class Charges(Protocol):
    """Charges of an account, one by one; only asked for when its sum does not decide, with `states` where it matters how jobs ended."""

    def __call__(self, account: str, *, states: bool = False) -> Sequence[Charge]:
        """Those of an account in the order of its records."""


async def post_batch(
    tx: Transaction, about: About, rated: Mapping[str, AccountUsage], charges: Charges, schemes: Mapping[str, Series], *,
    told: bool, may_reopen: bool = True,
) -> Counter[str]:  # fmt: skip
    """One entry per account: its vouchers and self-pay against the centre's receivable; yuan paid, by scheme.

    A batch with records that post nothing here (`told`: it has any) is in the log all the same.

    Raises:
        ReopensError: breakage must be taken back, and `may_reopen` says that nothing but entries may be written; nothing was.

    """
    bound = await bound_to(tx, about.centre, rated, schemes)
    plain = await _plain_draws(tx, rated, bound)
    rest = (
        {account: total for account, total in rated.items() if account not in plain} if len(plain) < len(rated) else {}
    )
    purses = await purses_of(tx, about.centre, rest, schemes)
    covers = {
        account: allocate(total, partial(charges, account, states=any(_waiving(purses[account]))), purses[account])
        for account, total in rest.items()
    }
    broken = [purse for some in purses.values() for purse in some if purse.broken > purse.available]
    if broken and not may_reopen:
        raise ReopensError
    await reopen(tx, broken)
    accounts = await open_accounts(tx, about.centre, covers.items())
    owed = accounts[receivable(about.centre)].number
    postings: list[tuple[str, tuple[Leg, ...]]] = []
    for account in rated:
        if (draw := plain.get(account)) is not None:
            legs = _new(Leg, (draw.account, 0, draw.units)), _new(Leg, (owed, 1, draw.units))
            postings.append((account, legs))
        else:
            postings += [(account, legs) for legs in entries_of(about.centre, account, covers[account], accounts)]
    if not postings and told:
        postings = [("", ())]
    await _record(tx, about, postings)
    paid = _redeemed(covers.values(), purses.values())
    for draw in plain.values():
        paid[draw.scheme] += draw.units
    return paid


class _Draw(NamedTuple):
    account: int
    scheme: str
    units: int


async def _plain_draws(
    tx: Transaction, rated: Mapping[str, AccountUsage], bound: Mapping[str, Sequence[tuple[BoundVoucher, Scheme]]]
) -> dict[str, _Draw]:
    """What is drawn for accounts whose one voucher, which pays for no other, is in time, free, and covers the whole sum.

    What `allocate` would say of them; it says it of all others.
    """
    numbers = [pair[0].account for account in rated for pair in bound[account]]
    if len(set(numbers)) < len(numbers):
        return {}
    balances = await tx.accounts_by_number(numbers)
    now_us, yuan = tx.now_ns // 1000, CNY.number
    plain: dict[str, _Draw] = {}
    for account, total in rated.items():
        if len(pairs := bound[account]) != 1:
            continue
        voucher, scheme = pairs[0]
        balance, until_us = balances[voucher.account], voucher.until_us
        if (
            voucher.asset == yuan and scheme.spending.charges(interrupted=True) is not False and until_us > now_us and voucher.from_us <= total.first_us
            and total.last_us < until_us and not (total.named or total.own or balance.restriction)
            and 0 < total.yuan <= balance.available
            and (scheme.accelerators is None or scheme.accelerators.issuperset(total.models))
        ):  # fmt: skip
            plain[account] = _new(_Draw, (voucher.account, voucher.scheme, total.yuan))
    return plain


async def _record(tx: Transaction, about: About, postings: list[tuple[str, tuple[Leg, ...]]]) -> None:
    """Record what a batch posts: what its entries share is encoded once, for it may post to thousands of accounts."""
    salts = tx.entropy(32 * len(postings))
    now_us = tx.now_ns // 1000
    actor = sha256(about.kid.encode()).digest()[:8]
    shared = {"batch": about.number, "root": about.root, "source": about.source, "type": "usage"}
    # Deterministic CBOR (RFC 8949 §4.2.1) sorts keys by length first, so that the account stands last.
    payload = cbor2.dumps(shared | {"account": ""}, canonical=True).removesuffix(cbor2.dumps(""))
    ids = batch_event_ids(tx, now_us, about.number, [account for account, _ in postings])
    series = [
        _new(Posting, (event_id, salts[32 * at : 32 * at + 32], payload + _text(account), legs))
        for at, (event_id, (account, legs)) in enumerate(zip(ids, postings, strict=True))
    ]
    if postings and not postings[0][1]:  # nothing is posted: a note says that the batch was taken
        model = Event(EntryKind.NOTE, b"", about.body_digest, ruleset=about.ruleset, actor=actor)
    else:
        model = Event(EntryKind.POST, b"", about.body_digest, ruleset=about.ruleset, actor=actor)
    await tx.post_series(model, series)


_new = tuple.__new__
"""Makes named tuples in a third of the time of their constructor; the fields stand in order."""
_text = lru_cache(maxsize=100_000)(cbor2.dumps)
"""A name as CBOR: the same accounts come again and again."""


def batch_event_ids(tx: Transaction, received_us: int, batch: int, accounts: Iterable[str]) -> list[bytes]:
    """Ids of the entries that a batch posts, for the account of each: only this ledger can tell whose they are."""
    time, head = (received_us // 1000).to_bytes(6), b"%d " % batch
    digests = tx.keyed_all([b"%b%d %b" % (head, at, account.encode()) for at, account in enumerate(accounts)])
    return [time + digest[:10] for digest in digests]


def _redeemed(covers: Iterable[Cover], purses: Iterable[Iterable[Purse]]) -> Counter[str]:
    """Yuan paid by vouchers, by scheme."""
    scheme_of = {purse.account: purse.scheme for some in purses for purse in some}
    paid: Counter[str] = Counter()
    for cover in covers:
        if cover.in_kind:
            paid.update(cover.in_kind)
        for account, units in cover.yuan.items():
            paid[scheme_of[account]] += units
    return paid


def charges_of(batch: Batch, rated: Rated) -> Charges:
    """Charges of a batch by account, in its order."""
    places: dict[str, list[int]] = {}

    def charges(account: str, *, states: bool = False) -> list[Charge]:
        if not places:
            for place, index in enumerate(rated.index):
                if index not in rated.held:
                    places.setdefault(batch.account[index], []).append(place)
        found: list[Charge] = []
        for place in places[account]:
            index = rated.index[place]
            course = rated.course(place, batch.start_us[index], batch.end_us[index])
            ended = states and segment.decode(batch.leaf[index]).interrupted
            found += charges_along(course, rated.models[place], batch.voucher[index], interrupted=ended)
        return found

    return charges


async def bound_to(
    tx: Transaction, centre: str, accounts: Iterable[str], schemes: Mapping[str, Series]
) -> dict[str, list[tuple[BoundVoucher, Scheme]]]:
    """Vouchers bound to accounts that the centre may take, with the terms of the day of issue.

    Read once and kept until anything but usage is recorded.
    """
    memo: dict[str, list[tuple[BoundVoucher, Scheme]]] = tx.memo.setdefault(f"bound/{centre}", {})
    missing = [account for account in accounts if account not in memo]
    if missing:
        memo.update((account, []) for account in missing)
        for row in await voucher_store.bound_vouchers(tx.connection, centre, missing):
            series = schemes.get(row.scheme)
            scheme = (series.at(row.issued_us) or series.latest) if series else None
            if scheme is None or (scheme.centres is not None and centre not in scheme.centres):
                continue
            if Action.CAPTURE in STEPS.get(scheme.claim_mode, {}):  # another is redeemed by a claim, not by use
                memo[row.bound_account].append((row, scheme))
    return memo


async def purses_of(
    tx: Transaction, centre: str, accounts: Iterable[str], schemes: Mapping[str, Series]
) -> dict[str, list[Purse]]:
    """Vouchers that may pay, by account, with what they still hold."""
    known = await bound_to(tx, centre, accounts, schemes)
    bound = [pair for account in accounts for pair in known[account]]
    balances = await tx.accounts_by_number([row.account for row, _ in bound])
    now_us = tx.now_ns // 1000
    over = {row.jti for row, _ in bound if row.until_us <= now_us}
    broken = await hold_store.broken_units(tx.connection, over) if over else {}
    purses: dict[str, list[Purse]] = {account: [] for account in accounts}
    shared: dict[int, Purse] = {}
    for row, scheme in bound:
        number = row.account
        purse = shared.get(number)  # two accounts of one holder draw on the same purse
        if purse is None:
            balance = balances[number]
            reopened = broken.get(row.jti, 0)
            available = 0 if balance.restriction else balance.available + reopened
            if available <= 0:
                continue
            purse = shared[number] = Purse(
                row.jti, row.scheme, number, ASSETS_BY_NUMBER[row.asset], available, row.from_us, row.until_us,
                row.priority, scheme.accelerators, reopened, waives_of(scheme),
            )  # fmt: skip
        purses[row.bound_account].append(purse)
    return purses


def waives_of(scheme: Scheme) -> int | None:
    """How much of interrupted time is not charged to a voucher of a scheme: all of it or, where its text does not say so, none."""
    return NO_BOUND if scheme.spending.charges(interrupted=True) is False else None


def _waiving(purses: Iterable[Purse]) -> Iterable[bool]:
    return (purse.waives is not None for purse in purses)


def receivable(centre: str) -> str:
    """Account of what a centre is owed for usage."""
    return f"centre/{centre}/receivable"


def compute_received(centre: str) -> str:
    """Account of the compute that vouchers gave a centre."""
    return f"centre/{centre}/compute"


def waived(centre: str, jti: str) -> str:
    """Account of what a centre may not charge by the scheme of a voucher: time of jobs that it interrupted. It is owed by nobody."""
    return f"{WAIVED}{centre}/{jti}"


def not_charged(centre: str) -> str:
    """Account against `waived`: worth of the time that a centre gave for nothing."""
    return f"centre/{centre}/not-charged"


def self_pay(centre: str, account: str) -> str:
    """Account of what an account of a centre owes itself."""
    return f"self-pay/{centre}/{account}"


def in_kind(scheme: str) -> str:
    """Account of what a scheme owes for compute given in kind."""
    return f"scheme/{scheme}/in-kind"


def scheme_in_kind(name: str) -> str | None:
    """Scheme of an account of `in_kind`; None for any other account."""
    head, _, tail = in_kind("\0").partition("\0")
    return name[len(head) : -len(tail)] if name.startswith(head) and name.endswith(tail) else None


async def open_accounts(tx: Transaction, centre: str, covers: Iterable[tuple[str, Cover]]) -> dict[str, Account]:
    """Accounts that these covers of accounts are posted to, by name."""
    covers = list(covers)
    wanted = [(receivable(centre), CNY, None)]
    if any(cover.compute for _, cover in covers):
        wanted.append((compute_received(centre), COMPUTE, None))
    for account, cover in covers:
        if cover.self_pay:
            wanted.append((self_pay(centre, account), CNY, None))
        wanted.extend((in_kind(scheme), CNY, None) for scheme in cover.in_kind)
        wanted.extend((name, CNY, None) for jti in cover.waived for name in (waived(centre, jti), not_charged(centre)))
    return await tx.open(list(dict.fromkeys(wanted)))


def entries_of(centre: str, account: str, cover: Cover, accounts: Mapping[str, Account]) -> list[tuple[Leg, ...]]:
    """Legs of an account's entry; more than one entry only when more vouchers pay than an entry has legs."""
    if len(cover.yuan) == 1 and not (cover.self_pay or cover.in_kind or cover.compute or cover.waived):  # as most are
        [(number, units)] = cover.yuan.items()
        return [(debit(number, units), credit(accounts[receivable(centre)].number, units))]
    yuan = [Leg(number, Side.DEBIT, units) for number, units in cover.yuan.items()]
    if cover.self_pay:
        yuan.append(debit(accounts[self_pay(centre, account)].number, cover.self_pay))
    yuan.extend(debit(accounts[in_kind(scheme)].number, units) for scheme, units in cover.in_kind.items() if units)
    compute = [debit(number, units) for number, units in cover.compute.items()]
    parts: list[tuple[Leg, ...]] = []
    free = [debit(accounts[waived(centre, jti)].number, units) for jti, units in cover.waived.items() if units]
    groups = (yuan, receivable(centre)), (compute, compute_received(centre)), (free, not_charged(centre))
    for legs, name in groups:
        for at in range(0, len(legs), LEGS_PER_ENTRY):
            part = legs[at : at + LEGS_PER_ENTRY]
            parts.append((*part, credit(accounts[name].number, sum(leg.amount for leg in part))))
    if len(parts) > 1 and sum(map(len, parts)) <= LEGS_PER_ENTRY:
        return [tuple(leg for part in parts for leg in part)]
    return parts
