"""The claim modes as tables: what each can do, what it moves, and that entitlement, hold, claim and payment stay four things."""

import random

import pytest

from ledger.entry import EntryKind
from voucher.errors import VoucherError
from voucher.lifecycle import STEPS, Action, Bucket, Life, Phase, act, conserved, expire, turn
from voucher.scheme import CLAIM_MODES

A, B = Action, Bucket

LIVES = {
    "issue_then_offset": """
        office      grant      100   available=100
        provider    hold        60   available=40 held=60
        provider    capture     45   held=15 redeemed=45
        provider    release     15   available=55 held=0
        provider    claim       45   redeemed=0 claimed=45
        office      return      45   redeemed=45 claimed=0
        provider    correct      5   available=60 redeemed=40
        provider    claim       40   redeemed=0 claimed=40
        office      approve     40   claimed=0 payable=40
        finance     pay         40   payable=0 paid=40
        finance     claw_back   10   paid=30 recovered=10
        clock       expire      60   available=0 breakage=60
    """,
    "issue_then_reimburse": """
        office      grant      100   available=100
        beneficiary claim       80   available=20 claimed=80
        office      refuse      80   available=100 claimed=0
        beneficiary claim       70   available=30 claimed=70
        office      approve     70   claimed=0 payable=70
        finance     pay         70   payable=0 paid=70
        office      revoke      30   available=0 budget=-70
    """,
    "post_use_direct": """
        beneficiary claim       50   budget=-50 claimed=50
        office      return      50   budget=0 claimed=0
        beneficiary claim       40   claimed=40
        office      approve     40   payable=40
        finance     pay         40   paid=40
    """,
    "auto_enjoy": """
        office      assess      50   budget=-50 claimed=50
        office      approve     50   claimed=0 payable=50
        finance     pay         50   payable=0 paid=50
    """,
    "target_responsibility": """
        office      grant      500   available=500
        beneficiary claim      500   available=0 claimed=500
        office      approve    500   payable=500
        finance     pay        500   paid=500
    """,
    "free_allocation": """
        office      grant      900   available=900
        provider    hold       400   held=400
        provider    capture    400   held=0 redeemed=400
        office      reclaim    300   available=200 budget=-600
        clock       expire     200   available=0 breakage=200
    """,
}


def code_of(life, action, units, actor):
    with pytest.raises(VoucherError) as caught:
        act(life, action, units, actor=actor)
    return caught.value.code


def after(mode, *steps, **options):
    life = Life(mode, **options)
    for actor, action, units in steps:
        life, _ = act(life, action, units, actor=actor)
    return life


@pytest.mark.parametrize("mode", CLAIM_MODES)
def test_a_whole_life_runs_as_its_table_says(mode):
    """Each step moves what it names, between the buckets it names, and nothing is created or lost."""
    life = Life(mode)
    for line in LIVES[mode].strip().splitlines():
        actor, action, units, *expected = line.split()
        before = life
        life, movement = act(life, Action(action), int(units), actor=actor)
        assert conserved(life)
        assert {f"{bucket.value}={life.of(bucket)}" for bucket in Bucket} >= set(expected), line
        assert before.of(movement.source) - life.of(movement.source) == movement.units == int(units)
        assert life.of(movement.target) - before.of(movement.target) == int(units)
        assert movement.entry is STEPS[mode][Action(action)].entry


def test_entitlement_hold_claim_and_payment_are_four_buckets():
    """A hold is no redemption, a redemption no claim, a claim no payment: at each moment they are told apart."""
    life = after(
        "issue_then_offset",
        *(("office", A.GRANT, 100), ("provider", A.HOLD, 70), ("provider", A.CAPTURE, 50), ("provider", A.CLAIM, 40)),
        *(("office", A.APPROVE, 30), ("finance", A.PAY, 20)),
    )
    amounts = {bucket.value: life.of(bucket) for bucket in Bucket if life.of(bucket)}
    assert amounts == {
        "budget": -100,
        "available": 30,
        "held": 20,
        "redeemed": 10,
        "claimed": 10,
        "payable": 10,
        "paid": 20,
    }


def test_holds_captures_and_releases_are_entries_of_their_kind():
    """The ledger knows a reservation from a posting, and a correction from a new fact."""
    kinds = {action: step.entry for action, step in STEPS["issue_then_offset"].items()}
    assert kinds[A.HOLD] is EntryKind.HOLD
    assert kinds[A.CAPTURE] is EntryKind.CAPTURE
    assert kinds[A.RELEASE] is EntryKind.RELEASE
    assert {kinds[A.CORRECT], kinds[A.RETURN], kinds[A.REFUSE]} == {EntryKind.REVERSE}
    assert {kinds[action] for action in (A.GRANT, A.CLAIM, A.PAY, A.CLAW_BACK, A.EXPIRE)} == {EntryKind.POST}


@pytest.mark.parametrize(
    ("mode", "lacks"),
    [
        ("issue_then_offset", {A.ASSESS}),
        ("issue_then_reimburse", {A.REFUND, A.ASSESS, A.HOLD, A.CAPTURE, A.RELEASE, A.CORRECT}),
        (
            "post_use_direct",
            {A.REFUND, A.ASSESS, A.GRANT, A.HOLD, A.CAPTURE, A.RELEASE, A.CORRECT, A.EXPIRE, A.RECLAIM, A.REVOKE},
        ),
        (
            "auto_enjoy",
            {A.REFUND, A.CLAIM, A.GRANT, A.HOLD, A.CAPTURE, A.RELEASE, A.CORRECT, A.EXPIRE, A.RECLAIM, A.REVOKE},
        ),
        ("target_responsibility", {A.REFUND, A.ASSESS, A.HOLD, A.CAPTURE, A.RELEASE, A.CORRECT}),
        ("free_allocation", {A.REFUND, A.CLAIM, A.ASSESS, A.RETURN, A.REFUSE, A.APPROVE, A.PAY, A.CLAW_BACK}),
    ],
)
def test_a_mode_has_its_steps_and_no_others(mode, lacks):
    """No voucher is held where none exists, and free compute is never paid for."""
    assert set(Action) - set(STEPS[mode]) == lacks
    for action in lacks:
        assert code_of(Life(mode), action, 1, "office") == "action-not-in-mode"


REFUSED = [
    ("more than is held", [("office", A.GRANT, 10)], ("provider", A.HOLD, 11), "not-enough"),
    ("nothing", [("office", A.GRANT, 10)], ("provider", A.HOLD, 0), "amount-not-positive"),
    ("less than nothing", [("office", A.GRANT, 10)], ("provider", A.HOLD, -1), "amount-not-positive"),
    ("a claim before use", [("office", A.GRANT, 10)], ("provider", A.CLAIM, 1), "not-enough"),
    ("a payment before approval", [("office", A.GRANT, 10)], ("finance", A.PAY, 1), "not-enough"),
    ("the office pays", [("office", A.GRANT, 10)], ("office", A.PAY, 1), "actor-not-allowed"),
    ("a provider grants", [], ("provider", A.GRANT, 1), "actor-not-allowed"),
    ("a beneficiary claims", [("office", A.GRANT, 10)], ("beneficiary", A.CLAIM, 1), "actor-not-allowed"),
    ("more is recovered than paid", [("office", A.GRANT, 10)], ("finance", A.CLAW_BACK, 1), "not-enough"),
]


@pytest.mark.parametrize(("steps", "wrong", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_wrong_step_is_refused_and_changes_nothing(steps, wrong, code):
    """The reason is named; the life before is the life after."""
    life = after("issue_then_offset", *steps)
    before = dict(life.units)
    actor, action, units = wrong
    assert code_of(life, action, units, actor) == code
    assert dict(life.units) == before


def test_what_was_held_before_a_suspension_goes_its_way():
    """Suspended: nothing new is held; what runs is captured, what was redeemed is claimed and paid; then it goes on."""
    life = after("issue_then_offset", ("office", A.GRANT, 100), ("provider", A.HOLD, 50))
    suspended = turn(life, Phase.SUSPENDED)
    assert code_of(suspended, A.HOLD, 1, "provider") == "phase-forbids"
    for actor, action in (("provider", A.CAPTURE), ("provider", A.CLAIM), ("office", A.APPROVE), ("finance", A.PAY)):
        suspended, _ = act(suspended, action, 50, actor=actor)
    assert suspended.of(B.PAID) == 50
    resumed, _ = act(turn(suspended, Phase.OPEN), A.HOLD, 50, actor="provider")
    assert resumed.of(B.HELD) == 50


def test_what_is_corrected_after_payment_is_owed_back():
    """100 paid, 30 corrected: the provider owes 30, which it refunds once; what is clawed back is never more than was left."""
    steps = [
        ("office", A.GRANT, 100),
        ("provider", A.HOLD, 100),
        ("provider", A.CAPTURE, 100),
        ("provider", A.CLAIM, 100),
    ]
    paid = after("issue_then_offset", *steps, ("office", A.APPROVE, 100), ("finance", A.PAY, 100))
    owing, _ = act(paid, A.CORRECT, 30, actor="provider")
    assert (owing.of(B.REDEEMED), owing.of(B.AVAILABLE), conserved(owing)) == (-30, 30, True)
    assert code_of(owing, A.CORRECT, 71, "provider") == "not-enough"
    assert code_of(owing, A.CLAW_BACK, 71, "finance") == "not-enough"
    refunded, _ = act(owing, A.REFUND, 30, actor="finance")
    assert (refunded.of(B.REDEEMED), refunded.of(B.PAID), conserved(refunded)) == (0, 70, True)


def test_expiry_lets_a_job_run_to_its_end_or_stops_it():
    """A hold taken before expiry survives by one rule and stops by the other; what it does not use breaks, it comes not back."""
    steps = [("office", A.GRANT, 100), ("provider", A.HOLD, 40)]
    runs, movements = expire(after("issue_then_offset", *steps))
    assert [(movement.action, movement.units) for movement in movements] == [(A.EXPIRE, 60)]
    runs, _ = act(runs, A.CAPTURE, 30, actor="provider")
    runs, movement = act(runs, A.RELEASE, 10, actor="provider")
    assert (movement.target, runs.of(B.BREAKAGE), runs.of(B.AVAILABLE)) == (B.BREAKAGE, 70, 0)
    assert code_of(runs, A.HOLD, 1, "provider") == "phase-forbids"
    assert code_of(runs, A.GRANT, 1, "office") == "phase-forbids"

    stops, movements = expire(after("issue_then_offset", *steps, run_to_end=False))
    assert [(movement.action, movement.units) for movement in movements] == [(A.RELEASE, 40), (A.EXPIRE, 100)]
    assert code_of(stops, A.CAPTURE, 1, "provider") in {"not-enough", "phase-forbids"}
    assert conserved(stops)


def test_what_is_released_after_a_revocation_goes_to_the_budget():
    """A revoked voucher gets nothing back; its running hold may still be captured."""
    life = after("issue_then_offset", ("office", A.GRANT, 100), ("provider", A.HOLD, 40), ("office", A.REVOKE, 60))
    life = turn(life, Phase.REVOKED)
    life, _ = act(life, A.CAPTURE, 25, actor="provider")
    life, _ = act(life, A.RELEASE, 15, actor="provider")
    assert (life.of(B.REDEEMED), life.of(B.AVAILABLE), life.given) == (25, 0, 25)


@pytest.mark.parametrize("phase", [Phase.EXPIRED, Phase.REVOKED])
def test_what_is_over_stays_over(phase):
    """Neither reopened nor suspended."""
    over = turn(Life("issue_then_offset"), phase)
    with pytest.raises(VoucherError, match="cannot become"):
        turn(over, Phase.OPEN)
    assert turn(over, phase) == over


def test_only_one_side_claims_a_target():
    """Supplier or demander: after one has claimed, the other is refused, also once the claim was returned."""
    life = after("target_responsibility", ("office", A.GRANT, 100), ("provider", A.CLAIM, 60), ("office", A.RETURN, 60))
    assert life.side == "provider"
    assert code_of(life, A.CLAIM, 60, "beneficiary") == "other-side-claims"
    assert code_of(life, A.CLAIM, 60, "office") == "actor-not-allowed"
    again, _ = act(life, A.CLAIM, 60, actor="provider")
    assert again.of(B.CLAIMED) == 60


def test_a_single_use_voucher_is_held_once():
    """A second hold is refused, also after the first was released or captured."""
    life = after("issue_then_offset", ("office", A.GRANT, 100), ("provider", A.HOLD, 40), multi_use=False)
    assert code_of(life, A.HOLD, 1, "provider") == "single-use"
    captured, _ = act(life, A.CAPTURE, 40, actor="provider")
    assert code_of(captured, A.HOLD, 1, "provider") == "single-use"


@pytest.mark.parametrize("mode", CLAIM_MODES)
def test_no_random_life_creates_or_loses_a_unit(mode, seed):
    """Whatever is tried in whatever order: buckets sum to zero, none but the budget is below it, and refusals change nothing."""
    print("seed", seed)
    chance = random.Random(f"{seed}{mode}")
    assert sum(acts_of_a_random_life(mode, chance) for _ in range(10)) > 10


def acts_of_a_random_life(mode: str, chance: random.Random) -> int:
    """How many of 400 acts tried at random one life took (an early expiry may leave few); each is checked."""
    actors = ("office", "provider", "beneficiary", "finance", "clock")
    life, done = Life(mode, run_to_end=chance.random() < 0.5), 0
    for _ in range(400):
        if chance.random() < 0.005 and life.phase in {Phase.OPEN, Phase.SUSPENDED}:
            life = turn(life, chance.choice([Phase.OPEN, Phase.SUSPENDED]))
        if chance.random() < 0.001 and life.phase is Phase.OPEN:
            life, _ = expire(life)
        before = dict(life.units)
        try:
            life, _ = act(life, chance.choice(list(Action)), chance.randint(-2, 50), actor=chance.choice(actors))
            done += 1
        except VoucherError:
            assert dict(life.units) == before
        assert conserved(life)
    return done
