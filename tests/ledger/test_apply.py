"""The state machine, told as small ledgers."""

import re

import pytest

from ledger.amount import CNY, INT64_MAX, Asset
from ledger.apply import apply
from ledger.entry import EntryKind, Layer, Opening, Side, credit, debit
from ledger.refusal import Refusal
from ledger.state import HoldStatus
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
    capture h9 1 dated 40            ! period-closed
    nobody → v1 0 dated 40           ! period-closed
    capture h9 1                     ! hold-unknown
    release h9                       ! hold-unknown
    expire h9                        ! hold-unknown
    capture closed 0                 ! hold-closed
    capture over 0                   ! hold-expired
    expire open                      ! hold-not-due
    hold h1: nobody → v1 0 until 5   ! hold-expired
    reverse p9: nobody → v1 1        ! original-unknown
    reverse open                     ! original-unknown
    close period 101                 ! period-not-over
    open v1 floor 1                  ! account-exists
    hold h1: nobody 0 + v1 0 → v1 0  ! account-unknown
    nobody → v1 0                    ! account-unknown
    limit nobody floor 9             ! account-unknown
    v1 0 →                           ! legs-count
    hold h1: v1 0 + v1 1 → v1 2      ! legs-count
    hold h1: v1 → centre 1; v1 → centre 1      ! legs-count
    capture open 0 + 0               ! legs-count
    v1 0 → centre 1                  ! amount-range
    v1 → centre -1                   ! amount-range
    v1 → centre 9223372036854775808  ! amount-range
    hold h1: v1 0 → flops 1          ! amount-range
    capture open 0                   ! amount-range
    v1 99 → centre 98                ! unbalanced
    v1 9 → flops 9                   ! unbalanced
    hold h1: v1 → flops 1; flops → v1 1        ! unbalanced
    hold h1: v1 2 → centre 1; treasury 1 → centre 2      ! unbalanced
    v1 → gone 99                     ! account-closed
    free gone                        ! account-closed
    limit gone floor 9               ! account-closed
    held → treasury 999              ! account-legal-hold
    capture suit 99                  ! account-legal-hold
    frozen → treasury 999            ! account-frozen
    hold h1: frozen → treasury 9     ! account-frozen
    close v1                         ! account-not-empty
    close flops2                     ! account-not-empty
    capture open 99                  ! hold-exceeded
    reverse paid: centre → v1 99     ! reversal-exceeded
    reverse paid: treasury → v1 1    ! reversal-exceeded
    reverse undone                   ! reversal-exceeded
    v1 → treasury 9223372036854775807         ! insufficient
    hold h1: v1 → centre 99          ! insufficient
    limit v1 floor 39                ! insufficient
    limit centre ceiling 1           ! over-ceiling
    treasury → small 3               ! over-ceiling
    hold h1: treasury → small 3      ! over-ceiling
    centre → treasury 9223372036854775807     ! total-range
    hold h1: treasury → treasury 9223372036854775807     ! total-range
"""
BEFORE = """
    hold closed: v1 → centre 1
    release closed
    hold over: v1 → centre 1 until 90
    hold open: v1 → centre 3
    centre → treasury 9
    hold much: treasury → treasury 99
    open gone
    close gone
    open held
    treasury → held 5
    hold suit: held → centre 5
    legal-hold held
    open frozen
    treasury → frozen 5
    freeze frozen
    open small ceiling 5
    treasury → small 3
    open flops2 PFLOPS.h
    hold compute: flops → flops2 1
    paid: v1 → centre 2
    undone: v1 → centre 1
    reverse undone
    at 80
    close period 50
"""


def test_refusals_come_in_order_of_precedence():
    """An event at fault in several ways is refused for the first of them, so that a caller can rely on the answer."""
    expected = [line.partition("!")[2].strip() for line in REFUSALS.strip().splitlines()]
    asked_otherwise = {"event-malformed", "asset-exists"}
    assert list(dict.fromkeys(expected)) == [r.value for r in Refusal if r.value not in asked_otherwise]
    told(BEFORE + "at 100" + REFUSALS)


def test_what_does_not_fit_a_leaf_is_malformed():
    """An id or a digest of another length could not be told from its neighbour; flags belong to a status alone."""
    book = told("")
    for fault in (
        {"event_id": bytes(15)},
        {"digest": bytes(33)},
        {"ruleset": b""},
        {"actor": bytes(9)},
        {"restriction": 1},
    ):
        assert apply(book.state, event("odd")._replace(**fault), 50) is Refusal.MALFORMED


def test_an_asset_is_registered_once():
    """Neither its code nor its number may be taken."""
    book = told("")
    gpu = Asset("GPU.s:H100", 16, 3)
    for number, (asset, refusal) in enumerate(
        [
            (gpu, None),
            (gpu, Refusal.ASSET_EXISTS),
            (Asset("GPU.s:H100", 17, 3), Refusal.ASSET_EXISTS),
            (Asset("TOKEN:x", 16, 0), Refusal.ASSET_EXISTS),
        ]
    ):
        outcome = apply(book.state, event(f"asset {number}", EntryKind.ASSET, asset=asset), 50)
        assert (outcome if isinstance(outcome, Refusal) else None) is refusal


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
        (EntryKind.OPEN, (credit(1, 1),), {"opening": Opening("new", bytes(16), CNY)}),
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
    book = told(BEFORE)
    book.prepare(step)
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


def test_a_hold_of_several_lines_is_one():
    """A voucher, a quota and a budget are held, captured, given back and expire together (hold groups)."""
    told("""
        open quota PFLOPS.h floor -5
        hold h1: v1 → centre 30; quota → flops 6            ! insufficient
        v1 has 40, 40 available
        hold h1: v1 → centre 30; quota → flops 5 until 500
        capture h1 10 + 6                                   ! hold-exceeded
        capture h1 10 + 0
        capture h1 0 + 2
        v1 has 30, 10 available
        quota has -2, -5 available
        capture h1 5 + 1 final
        v1 has 25, 25 available
        quota has -3, -3 available
        capture h1 1 + 1                                    ! hold-closed
        hold h2: v1 → centre 5; quota → flops 1 until 500
        at 500
        expire h2
        v1 has 25, 25 available
        quota has -3, -3 available
    """)


def test_a_posting_is_taken_back_up_to_what_it_moved():
    """In parts or as a whole, also what was captured; what the receiver has spent since cannot be taken from it."""
    told("""
        paid: v1 30 + treasury 12 → centre 42
        reverse paid: centre → v1 10
        v1 has 20
        reverse paid: centre → v1 21                        ! reversal-exceeded
        reverse paid
        v1 has 40
        centre has 0
        reverse paid                                        ! reversal-exceeded
        hold h1: v1 → centre 5
        release h1
        open shop floor 0
        sold: v1 → shop 9
        shop → centre 9
        reverse sold                                        ! insufficient
    """)


def test_a_ceiling_counts_open_holds():
    """What is on its way to an account fills its ceiling, as what is on its way out counts against its floor."""
    told("""
        limit centre ceiling 30
        hold h1: v1 → centre 20
        treasury → centre 11                                ! over-ceiling
        treasury → centre 10
        capture h1 5 final
        treasury → centre 15
        limit centre
        treasury → centre 1000
    """)


def test_limits_may_be_changed_to_what_holds_now():
    """A credit limit is raised and lowered, but never below what is used."""
    told("""
        limit v1 floor -10
        v1 → centre 45
        limit v1 floor 0                                    ! insufficient
        limit v1 floor -5
        v1 → centre 1                                       ! insufficient
    """)


def test_a_frozen_account_keeps_its_word_and_a_legal_hold_stops_everything():
    """Freezing stops new debits, not captures of what was held; a court's hold stops those too, and lets credits in."""
    told("""
        hold h1: v1 → centre 10
        freeze v1
        v1 → centre 1                                       ! account-frozen
        hold h2: v1 → centre 1                              ! account-frozen
        capture h1 4
        treasury → v1 1
        legal-hold v1
        capture h1 4                                        ! account-legal-hold
        treasury → v1 1
        release h1
        free v1
        v1 → centre 1
    """)


def test_a_closed_account_stays_closed():
    """It has nothing when it is closed, and nothing moves on it again."""
    told("""
        hold h1: treasury → v1 1
        v1 → centre 40
        close v1                                            ! account-not-empty
        release h1
        close v1
        treasury → v1 1                                     ! account-closed
        free v1                                             ! account-closed
        mark v1
    """)


def test_a_closed_period_takes_no_posting():
    """What belongs to it lands in the open period if it may, with a reference to the close; else it is refused."""
    book = told("""
        at 100
        v1 → centre 1 dated 40
        close period 900                                    ! period-not-over
        close period 50
        v1 → centre 1 dated 49                              ! period-closed
        v1 → centre 1 dated 50
        close period 50                                     ! period-closed
        v1 → centre 2 dated 49 late
    """)
    late = book.entries[-1]
    [close] = [entry for entry in book.entries if entry.kind == EntryKind.CLOSE_PERIOD]
    assert (late.effective_ns, late.ref_seq) == (late.recorded_ns, close.seq)
    assert close.effective_ns == 50


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
            ("REVERSE", 8),
            ("LIMIT", 9),
            ("STATUS", 10),
            ("CLOSE_PERIOD", 11),
            ("ASSET", 12),
            ("ERASE", 13),
            ("MARK", 14),
        ],
        "Side": [("DEBIT", 0), ("CREDIT", 1)],
        "Layer": [("POSTED", 0), ("HELD", 1)],
        "HoldStatus": [("OPEN", 0), ("CAPTURED", 1), ("RELEASED", 2), ("EXPIRED", 3)],
    }
