"""Invariants: each holds of what the state machine records, and each names the place where it is broken."""

from dataclasses import replace

import pytest

from ledger.entry import Entry, Layer
from ledger.invariants import INVARIANTS, NOTHING, HeldLine, Part, View, judge
from ledger.tree import Frontier, hash_leaf, root_of
from tests.ledger.notation import Book
from tests.ledger.test_replay import STORY

BOOK = Book().play(STORY)
FIRST = 9


def totals_after(entries: list[Entry]) -> dict[bytes, tuple]:
    return {leg.public_id: (*leg[7:], entry.seq) for entry in entries for leg in entry.legs}


def view() -> View:
    """What a service sees that judged the first nine entries before."""
    frontier = Frontier()
    for entry in BOOK.entries[:FIRST]:
        frontier.append(hash_leaf(entry.leaf))
    accounts = BOOK.state.accounts
    sums: dict[int, list[int]] = {}
    for account in accounts.values():
        one = sums.setdefault(account.asset, [0, 0, 0, 0])
        for at, name in enumerate(("debits_posted", "credits_posted", "debits_held", "credits_held")):
            one[at] += getattr(account, name)
    return View(
        len(BOOK.entries),
        root_of([hash_leaf(entry.leaf) for entry in BOOK.entries]),
        frontier,
        BOOK.entries[FIRST - 1].recorded_ns,
        BOOK.entries[FIRST:],
        totals_after(BOOK.entries[:FIRST]),
        totals_after(BOOK.entries),
        {asset: tuple(one) for asset, one in sums.items()},
        [
            HeldLine(hold.seq, line.debit, line.credit, line.amount, line.remaining)
            for hold in BOOK.state.holds.values()
            for line in hold.lines
            if not hold.status
        ],
        {
            account.number: (account.debits_held, account.credits_held)
            for account in accounts.values()
            if account.debits_held or account.credits_held
        },
        [Part("vouchers", 100, {"available": 60, "held": 10, "redeemed": 30})],
    )


def changed(entry: Entry, **fields) -> Entry:
    """An entry with another last leg."""
    return entry._replace(legs=(*entry.legs[:-1], entry.legs[-1]._replace(**fields)))


SOUND = view()
ENTRIES = list(SOUND.entries)
LAST = max(at for at, entry in enumerate(ENTRIES) if entry.legs)
PUBLIC = ENTRIES[LAST].legs[-1].public_id
HELD = next(at for at, entry in enumerate(ENTRIES) if entry.legs and entry.legs[0].layer == Layer.HELD)
LINE = SOUND.lines[0]


def with_entry(at: int, entry: Entry) -> dict:
    return {"entries": [*ENTRIES[:at], entry, *ENTRIES[at + 1 :]]}


BROKEN = [
    ("sum-zero", {"sums": {1: (5, 6, 0, 0)}}, "asset 1"),
    ("sum-zero", {"sums": {1: (5, 5, 1, 0)}}, "asset 1"),
    ("conservation", {"parts": [Part("vouchers", 100, {"available": 60, "held": 10, "redeemed": 29})]}, "vouchers"),
    ("holds", {"lines": [LINE._replace(remaining=LINE.amount + 1)]}, f"hold {LINE.seq}"),
    ("holds", {"lines": SOUND.lines[1:]}, f"account {LINE.debit}"),
    ("holds", {"held": {}}, "account"),
    ("sequence", {"entries": ENTRIES[:3] + ENTRIES[4:]}, f"entry {FIRST + 3}"),
    ("sequence", {"entries": ENTRIES[:-1]}, f"entry {len(BOOK.entries) - 1}"),
    ("sequence", {"size": SOUND.size + 1}, f"entry {len(BOOK.entries)}"),
    ("time", with_entry(3, ENTRIES[3]._replace(recorded_ns=ENTRIES[2].recorded_ns)), f"entry {FIRST + 3}"),
    ("time", {"last_ns": ENTRIES[0].recorded_ns}, f"entry {FIRST}"),
    ("chain", with_entry(LAST, changed(ENTRIES[LAST], prev_seq=1)), f"entry {FIRST + LAST}, account {PUBLIC.hex()}"),
    ("chain", with_entry(HELD, changed(ENTRIES[HELD], credits_held=99)), f"entry {FIRST + HELD}"),
    ("chain", {"before": {}}, f"entry {FIRST}"),
    ("balances", {"cached": SOUND.cached | {PUBLIC: NOTHING}}, f"account {PUBLIC.hex()}"),
    ("balances", {"cached": {}}, "account"),
    ("root", {"root": bytes(32)}, "log_state"),
    ("root", with_entry(3, ENTRIES[3]._replace(leaf=b"another")), "log_state"),
]


def test_all_hold_of_what_was_recorded():
    """A stretch of a log of every kind of entry, and what it adds up to, breaks none of them."""
    assert judge(SOUND) == dict.fromkeys(invariant.name for invariant in INVARIANTS)


def test_nothing_breaks_nothing():
    """An empty log is sound."""
    assert not any(judge(View()).values())


@pytest.mark.parametrize(("name", "fields", "where"), BROKEN)
def test_a_broken_one_names_its_place(name, fields, where):
    """Each fails on a view that breaks it, and says where."""
    fault = judge(replace(SOUND, **fields))[name]
    assert fault is not None
    assert fault.where.startswith(where)
    assert (fault.invariant, bool(fault.zh), bool(fault.en)) == (name, True, True)


def test_each_has_a_reason_and_an_example():
    """One without a docstring, or that nothing breaks, would be believed and not known."""
    assert all(type(invariant).__doc__ for invariant in INVARIANTS)
    assert {name for name, _, _ in BROKEN} == {invariant.name for invariant in INVARIANTS}
