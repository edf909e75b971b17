"""The state machine, told as small ledgers."""

import re

import pytest

from ledger.amount import CNY, INT64_MAX
from ledger.apply import HoldStatus, Refusal, apply
from ledger.entry import EntryKind, Layer, Opening, Side, credit, debit
from tests.ledger.notation import Book, event, seen
from tests.shared_data import ROOT

PROGRAMME = """
    open treasury
    open programme floor 0
    open v1 floor 0
    open centre
    open flops PFLOPS.h
    treasury → programme 100           # fund
    programme → v1 40                  # issue
"""


def told(text: str) -> Book:
    return Book().play(PROGRAMME + text)


def test_a_voucher_pays_until_it_is_spent():
    """A floor of zero lets a voucher pay what it has, to the last unit, and nothing more."""
    told("""
        v1 → centre 25
        v1 has 15
        v1 → centre 16               ! insufficient
        v1 → centre 15
        v1 → centre 1                ! insufficient
        v1 has 0
        centre has 40
        programme has 60
        treasury has -100            # no floor: it may be below zero
    """)


def test_a_floor_may_lie_below_zero_but_no_account_opens_below_its_floor():
    """A floor is the least an account may have available: credit is a floor below zero, and a floor above zero is unmet."""
    told("""
        open credit floor -10
        credit → centre 10
        credit → centre 1            ! insufficient
        open rich floor 1            ! insufficient
    """)


def test_an_entry_may_have_many_legs_but_sums_to_zero_per_asset():
    """Yuan and compute balance each on their own; 64 legs are taken, 65 are not."""
    told(f"""
        v1 30 + treasury 12 → centre 42
        v1 4 → centre 5                          ! unbalanced
        centre 5 → flops 5                       ! unbalanced
        {" + ".join(["treasury 1"] * 63)} → centre 63
        {" + ".join(["treasury 1"] * 64)} → centre 64    ! legs-count
    """)


def test_floors_are_judged_at_the_end_of_an_entry():
    """Within one entry an account may be debited before it is credited: only the whole has to fit."""
    told("""
        v1 100 + centre 60 → centre 100 + v1 60
        v1 has 0
    """)


def test_open_holds_count_against_the_floor():
    """What is reserved cannot be spent or reserved again, while the balance still shows it."""
    told("""
        hold h1: v1 → centre 30
        v1 has 40, 10 available
        v1 → centre 11               ! insufficient
        hold h2: v1 → centre 11      ! insufficient
        hold h2: v1 → centre 10
        v1 has 40, 0 available
        centre has 0, 0 available
    """)


def test_a_hold_is_captured_in_parts():
    """Parts are captured until `final`, which gives back the rest; nothing comes out of a closed hold."""
    told("""
        hold h1: v1 → centre 30
        capture h1 10
        v1 has 30, 10 available
        capture h1 21                ! hold-exceeded
        capture h1 5 final
        v1 has 25, 25 available
        centre has 15
        capture h1 1                 ! hold-closed
        release h1                   ! hold-closed
        expire h1                    ! hold-closed
    """)


def test_a_hold_captured_to_the_last_unit_is_closed():
    """Nothing remains to capture, release or expire."""
    told("""
        hold h1: v1 → centre 30 until 90
        capture h1 30
        release h1                   ! hold-closed
        at 90
        expire h1                    ! hold-closed
        v1 has 10, 10 available
    """)


def test_a_release_gives_back_what_is_left():
    """What was captured stays posted."""
    told("""
        hold h1: v1 → centre 30
        capture h1 10
        release h1
        v1 has 30, 30 available
        centre has 10
        capture h1 1                 ! hold-closed
    """)


def test_a_hold_expires_at_its_nanosecond():
    """One nanosecond before, it can be captured and not expired; at the nanosecond, the other way round."""
    told("""
        hold h1: v1 → centre 30 until 500
        hold h2: v1 → centre 5 until 500
        at 499
        expire h1                    ! hold-not-due
        capture h1 10
        v1 has 30, 5 available
        at 500
        capture h1 10                ! hold-expired
        release h2                   ! hold-expired
        expire h1
        expire h2
        v1 has 30, 30 available
    """)


def test_recorded_time_decides_what_has_expired():
    """A clock behind the log does not open an expired hold again: an entry's own time is what counts."""
    told("""
        hold h1: v1 → centre 30 until 500
        at 499
        note
        at 5
        capture h1 10                ! hold-expired
        hold h2: v1 → centre 5 until 500       ! hold-expired
        expire h1
    """)


def test_a_hold_without_expiry_never_expires():
    """It stays open until somebody closes it."""
    told(f"""
        hold h1: v1 → centre 30
        at {INT64_MAX - 1}
        expire h1                    ! hold-not-due
        capture h1 30
    """)


REFUSALS = """
    capture h9 1                     ! hold-unknown
    release h9                       ! hold-unknown
    expire h9                        ! hold-unknown
    capture closed 0                 ! hold-closed
    capture over 0                   ! hold-expired
    expire open                      ! hold-not-due
    hold h1: nobody → v1 0 until 5   ! hold-expired
    open v1 floor 1                  ! account-exists
    hold h1: nobody 0 + v1 0 → v1 0  ! account-unknown
    nobody → v1 0                    ! account-unknown
    v1 0 →                           ! legs-count
    hold h1: v1 0 + v1 1 → v1 2      ! legs-count
    v1 0 → centre 1                  ! amount-range
    v1 → centre -1                   ! amount-range
    v1 → centre 9223372036854775808  ! amount-range
    hold h1: v1 0 → flops 1          ! amount-range
    capture open 0                   ! amount-range
    v1 99 → centre 98                ! unbalanced
    v1 9 → flops 9                   ! unbalanced
    capture open 99                  ! hold-exceeded
    v1 → treasury 9223372036854775807         ! insufficient
    hold h1: v1 → centre 99          ! insufficient
    centre → treasury 9223372036854775807     ! total-range
    hold h1: treasury → treasury 9223372036854775807     ! total-range
"""


def test_refusals_come_in_order_of_precedence():
    """An event at fault in several ways is refused for the first of them, so that a caller can rely on the answer."""
    expected = [line.partition("!")[2].strip() for line in REFUSALS.strip().splitlines()]
    assert list(dict.fromkeys(expected)) == [refusal.value for refusal in Refusal]
    told(
        """
        hold closed: v1 → centre 1
        release closed
        hold over: v1 → centre 1 until 90
        hold open: v1 → centre 3
        centre → treasury 9
        hold much: treasury → treasury 99
        at 100
    """
        + REFUSALS
    )


def test_a_total_that_could_not_be_stored_is_refused_wherever_it_would_arise():
    """A total beyond 63 bits is refused in a posting, a hold and a capture, before it can spoil a whole commit."""
    told(f"""
        treasury → centre {INT64_MAX - 100}
        treasury → centre 1                            ! total-range
        open a
        open b
        hold h1: a → b {INT64_MAX}
        hold h2: a → b 1                               ! total-range
        a → b 1
        capture h1 {INT64_MAX}                         ! total-range
        capture h1 {INT64_MAX - 1}
    """)


@pytest.mark.parametrize(
    ("kind", "legs", "fields"),
    [
        (EntryKind.NOTE, (debit(1, 1), credit(2, 1)), {}),
        (EntryKind.OPEN, (), {}),
        (EntryKind.OPEN, (credit(1, 1),), {"opening": Opening("new", bytes(16), CNY, None)}),
        (EntryKind.CAPTURE, (), {"ref_seq": 7}),
        (EntryKind.CAPTURE, (credit(3, 1),), {"ref_seq": 7}),
        (EntryKind.CAPTURE, (debit(4, 1),), {"ref_seq": 7}),
    ],
    ids=["note with legs", "open nothing", "open with legs", "capture nothing", "capture credit", "capture elsewhere"],
)
def test_legs_that_do_not_belong_to_the_kind_are_refused(kind, legs, fields):
    """A note has no legs, an opening makes its own, and a capture names the account that the hold debits."""
    book = told("hold h1: v1 → centre 3")
    assert book.holds["h1"][0] == 7
    assert apply(book.state, event("odd", kind, legs, **fields), 50) is Refusal.LEGS_COUNT


def test_the_documented_refusals_are_these_in_this_order():
    """docs/ledger.md lists every refusal, first come first."""
    listed = ROOT.joinpath("docs/ledger.md").read_text("utf-8").split("refused for the first of these:")[1]
    assert re.findall("`([a-z-]+)`", listed.split("\n\n")[0]) == [refusal.value for refusal in Refusal]


@pytest.mark.parametrize("step", [line.partition("!")[0].strip() for line in REFUSALS.strip().splitlines()])
def test_a_refused_event_changes_nothing(step):
    """Accounts, holds, size, time and even the undo list are as before."""
    book = told("""
        hold closed: v1 → centre 1
        release closed
        hold over: v1 → centre 1 until 90
        hold open: v1 → centre 3
        centre → treasury 9
        hold much: treasury → treasury 99
    """)
    before, mark = seen(book.state), len(book.state.undo)
    assert isinstance(apply(book.state, book.event(step), 100), Refusal)
    assert (seen(book.state), len(book.state.undo)) == (before, mark)


def test_a_chain_is_taken_back_as_a_whole():
    """Openings, postings, holds and captures before a mark stay; everything after it leaves no trace."""
    book = told("hold h0: v1 → centre 5")
    before, mark = seen(book.state), len(book.state.undo)
    book.play("""
        open v2 floor 0
        programme → v2 10
        hold h1: v2 → centre 10 until 900
        capture h1 3
        capture h0 1 final
        release h1
        note
    """)
    assert seen(book.state) != before
    book.state.rollback(mark)
    assert seen(book.state) == before


def test_recorded_time_strictly_increases():
    """The clock may stand still or go back; the log's time never does."""
    book = told("""
        at 1000
        note
        note
        at 5
        note
        at 1001
        note
        at 2000
        note
    """)
    assert [entry.recorded_ns for entry in book.entries[-5:]] == [1000, 1001, 1002, 1003, 2000]
    assert [entry.seq for entry in book.entries] == list(range(len(book.entries)))


def test_entries_carry_the_totals_after_each_leg():
    """A statement can be checked line by line: previous entry of the account, and its totals after the leg."""
    *_, issue, hold, capture = told("""
        hold h1: v1 → centre 30
        capture h1 10 final
    """).entries
    assert [leg[3:] for leg in issue.legs] == [
        (Side.DEBIT, Layer.POSTED, 40, 5, 40, 100, 0, 0),
        (Side.CREDIT, Layer.POSTED, 40, 2, 0, 40, 0, 0),
    ]
    assert [leg[3:] for leg in hold.legs] == [
        (Side.DEBIT, Layer.HELD, 30, 6, 0, 40, 30, 0),
        (Side.CREDIT, Layer.HELD, 30, 3, 0, 0, 0, 30),
    ]
    assert [leg[3:] for leg in capture.legs] == [
        (Side.DEBIT, Layer.HELD, 30, 7, 0, 40, 0, 0),
        (Side.CREDIT, Layer.HELD, 30, 7, 0, 0, 0, 0),
        (Side.DEBIT, Layer.POSTED, 10, 8, 10, 40, 0, 0),
        (Side.CREDIT, Layer.POSTED, 10, 8, 0, 10, 0, 0),
    ]


def test_the_log_says_until_when_a_hold_lasts():
    """A hold is effective until its expiry, or for ever; any other entry from the day it says, or from its record."""
    book = told("""
        hold h1: v1 → centre 1 until 999
        hold h2: v1 → centre 1
        note
    """)
    assert [entry.effective_ns for entry in book.entries[-3:]] == [999, INT64_MAX, book.entries[-1].recorded_ns]
    dated = apply(book.state, event("back-dated", effective_ns=-5), 100)
    assert (dated.effective_ns, dated.recorded_ns) == (-5, 100)


def test_numbers_that_are_stored_never_change():
    """Kinds, sides, layers and states stand as numbers in leaves and rows."""
    stored = {
        enum.__name__: [(member.name, member.value) for member in enum] for enum in (EntryKind, Side, Layer, HoldStatus)
    }
    assert stored == {
        "EntryKind": [
            ("GENESIS", 0),
            ("OPEN", 1),
            ("NOTE", 2),
            ("POST", 3),
            ("HOLD", 4),
            ("CAPTURE", 5),
            ("RELEASE", 6),
            ("EXPIRE", 7),
        ],
        "Side": [("DEBIT", 0), ("CREDIT", 1)],
        "Layer": [("POSTED", 0), ("HELD", 1)],
        "HoldStatus": [("OPEN", 0), ("CAPTURED", 1), ("RELEASED", 2), ("EXPIRED", 3)],
    }
