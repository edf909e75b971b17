"""The verifier against a dishonest writer: leaves that are well formed, hash to their root, and say what cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.entry import NO_SEQ, Entry, EntryKind, Layer, PostedLeg
from ledger.leaf import encode
from ledger.verify import Fault, Replay
from tests.ledger.notation import Book, digest

STORY = """
    genesis
    open treasury
    open v1 floor 0
    open centre
    treasury → v1 100
    hold h1: v1 → centre 30 until 900
    hold h2: v1 → centre 20
    capture h1 10
    capture h2 5 final
    treasury 5 + v1 5 → centre 10
    hold h3: v1 → centre 10
"""
NAMES = ("treasury", "v1", "centre")
V1, CENTRE, TREASURY = (digest(name)[:16] for name in ("v1", "centre", "treasury"))
POST, HOLD, CAPTURE, RELEASE, EXPIRE = (EntryKind[name] for name in ("POST", "HOLD", "CAPTURE", "RELEASE", "EXPIRE"))
H1, H2 = 5, 6


def honest() -> tuple[Book, Replay]:
    book, replay = Book().play(STORY), Replay({V1: 0})
    for entry in book.entries:
        assert isinstance(replay.add(entry.leaf), Entry)
    return book, replay


def next_leaf(replay: Replay, kind: EntryKind, moves: str, fields: dict) -> bytes:
    """A leaf that follows on correctly: numbers, times and totals are right, whatever the legs say.

    Moves are legs as `-v1 5` (debit) and `+centre 5` (credit), with `held` behind those of the held layer.
    """
    seq = replay.frontier.size
    totals = {public: [*sums.as_tuple()] for public, sums in replay.accounts.items()}
    legs = []
    for move in filter(None, moves.split(", ")):
        name, amount, *held = move.split()
        public, side, layer = digest(name[1:])[:16], "-+".index(name[0]), len(held)
        after = totals.setdefault(public, [0, 0, 0, 0, NO_SEQ])
        freed = layer == Layer.HELD and kind in {CAPTURE, RELEASE, EXPIRE}
        after[2 * layer + side] += -int(amount) if freed else int(amount)
        legs.append(PostedLeg(-1, public, 1, side, layer, int(amount), after[4], *after[:4]))
        after[4] = seq
    entry = Entry(
        seq, kind, bytes(16), bytes(32), replay.last_ns + 1, 1000, NO_SEQ, bytes(32), bytes(8), tuple(legs), bytes(32)
    )
    return encode(*entry._replace(**fields)[:11])


FREES = "-v1 20 held, +centre 20 held"
SOUND = [
    ("a posting", POST, "-treasury 1, +v1 1", {}),
    ("a hold", HOLD, "-v1 50 held, +centre 50 held", {}),
    ("a part", CAPTURE, "-v1 5 held, +centre 5 held, -v1 5, +centre 5", {"ref_seq": H1}),
    ("a last part", CAPTURE, FREES + ", -v1 5, +centre 5", {"ref_seq": H1}),
    ("a release", RELEASE, FREES, {"ref_seq": H1}),
    ("an expiry", EXPIRE, FREES, {"ref_seq": H1, "recorded_ns": 900}),
]
KIND, BALANCE = "its legs are not those of its kind", "debits and credits differ"
CLOSED, LEFT = "its hold is closed or unknown", "does not free what the hold has left"
ACCOUNTS, TIME = "its accounts are not those of the hold", "comes before or after the hold expires"
FOLLOWS, FLOOR = "does not follow the account's previous entry", "the balance is below its floor"
FORGED = [
    ("a number left out", POST, "-treasury 1, +v1 1", {"seq": 12}, "numbered 12"),
    ("time standing still", POST, "-treasury 1, +v1 1", {"recorded_ns": 11}, "recorded time does not increase"),
    ("a second genesis", EntryKind.GENESIS, "", {}, KIND),
    ("a note with legs", EntryKind.NOTE, "-treasury 1, +v1 1", {}, KIND),
    ("an opening with money in it", EntryKind.OPEN, "+new 5", {}, KIND),
    ("an opening of two", EntryKind.OPEN, "+new 0, +newer 0", {}, KIND),
    ("an account opened twice", EntryKind.OPEN, "+v1 0", {}, KIND),
    ("a posting of one leg", POST, "+v1 1", {}, KIND),
    ("a posting of nothing", POST, "-treasury 0, +v1 0", {}, KIND),
    ("a posting in the held layer", POST, "-treasury 1 held, +v1 1 held", {}, KIND),
    ("money from nowhere", POST, "-treasury 1, +v1 2", {}, BALANCE),
    ("money from an account nobody opened", POST, "-nobody 1, +v1 1", {}, FOLLOWS),
    ("a voucher overspent", POST, "-v1 51, +centre 51", {}, FLOOR),
    ("a voucher held beyond its worth", HOLD, "-v1 51 held, +centre 51 held", {}, FLOOR),
    ("a hold of two debits", HOLD, "-v1 1 held, -centre 1 held", {}, KIND),
    ("a hold of unequal sides", HOLD, "-v1 1 held, +centre 2 held", {}, BALANCE),
    ("a release of no hold", RELEASE, FREES, {}, CLOSED),
    ("a release of a closed hold", RELEASE, "-v1 5 held, +centre 5 held", {"ref_seq": H2}, CLOSED),
    ("a release of a part", RELEASE, "-v1 9 held, +centre 9 held", {"ref_seq": H1}, LEFT),
    ("a capture without freeing", CAPTURE, "-v1 9, +centre 9", {"ref_seq": H1}, KIND),
    ("more captured than freed", CAPTURE, "-v1 5 held, +centre 5 held, -v1 9, +centre 9", {"ref_seq": H1}, LEFT),
    ("a capture that loses a part", CAPTURE, "-v1 9 held, +centre 9 held, -v1 5, +centre 5", {"ref_seq": H1}, LEFT),
    ("more freed than held", CAPTURE, "-v1 21 held, +centre 21 held, -v1 21, +centre 21", {"ref_seq": H1}, LEFT),
    ("a capture for another", CAPTURE, FREES + ", -v1 20, +treasury 20", {"ref_seq": H1}, ACCOUNTS),
    ("a capture turned round", CAPTURE, FREES + ", +v1 20, -centre 20", {"ref_seq": H1}, KIND),
    ("a capture at the expiry", CAPTURE, FREES + ", -v1 20, +centre 20", {"ref_seq": H1, "recorded_ns": 900}, TIME),
    ("a release at the expiry", RELEASE, FREES, {"ref_seq": H1, "recorded_ns": 900}, TIME),
    ("an expiry before its time", EXPIRE, FREES, {"ref_seq": H1, "recorded_ns": 899}, TIME),
]


@pytest.mark.parametrize(("_what", "kind", "moves", "fields"), SOUND, ids=[what for what, *_ in SOUND])
def test_a_sound_leaf_is_taken(_what, kind, moves, fields):
    """What the rules allow follows on: so a refusal below means its one fault."""
    _, replay = honest()
    assert isinstance(replay.add(next_leaf(replay, kind, moves, fields)), Entry)


@pytest.mark.parametrize(("_what", "kind", "moves", "fields", "fault"), FORGED, ids=[what for what, *_ in FORGED])
def test_a_leaf_that_breaks_a_rule_is_found(_what, kind, moves, fields, fault):
    """A writer that breaks its own rules is found by its leaves alone, at the entry where it did."""
    _, replay = honest()
    found = replay.add(next_leaf(replay, kind, moves, fields))
    assert isinstance(found, Fault)
    assert found.where.startswith("entry 11")
    assert found.en == fault


@pytest.mark.parametrize("field", ["prev_seq", "debits_posted", "credits_posted", "debits_held", "credits_held"])
def test_totals_that_do_not_follow_are_found(field):
    """Each leg must carry on from the account's previous entry, to the unit."""
    book, replay = honest()
    replay = Replay({V1: 0})
    *before, last = book.entries
    for entry in before:
        replay.add(entry.leaf)
    legs = [*last.legs[:-1], last.legs[-1]._replace(**{field: getattr(last.legs[-1], field) + 1})]
    found = replay.add(encode(*last._replace(legs=tuple(legs))[:11]))
    assert isinstance(found, Fault)
    assert found.where == f"entry 10, account {CENTRE.hex()}"


@given(at=st.integers(0, 10), bit=st.integers(0, 8 * 606 - 1))
def test_a_changed_bit_never_confuses_the_verifier(at, bit):
    """Whatever bit of whatever leaf is changed, the verifier answers: it is a fault, or the root is another."""
    book, sound = honest()
    replay = Replay({V1: 0})
    for entry in book.entries:
        leaf = bytearray(entry.leaf)
        if entry.seq == at:
            leaf[bit // 8 % len(leaf)] ^= 1 << bit % 8
        if isinstance(replay.add(bytes(leaf)), Fault):
            return
    assert replay.frontier.root() != sound.frontier.root()
