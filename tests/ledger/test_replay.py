"""The verifier against a dishonest writer: leaves that are well formed, hash to their root, and say what cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.entry import NO_SEQ, Entry, EntryKind, Layer, PostedLeg, Restriction
from ledger.leaf import encode
from ledger.standing import Fault
from ledger.tree import hash_leaf, root_of
from ledger.verify import Replay
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
    open small ceiling 5
    hold h4: treasury → centre 5; treasury → small 2
    open frozen
    treasury → frozen 9
    hold h5: frozen → centre 3
    freeze frozen
    open court
    treasury → court 9
    hold h6: court → centre 3
    legal-hold court
    open gone
    close gone
    paid: treasury → centre 7
    reverse paid: centre → treasury 2
    asset GPU.s:H100=16/3
    at 500
    close period 400
"""
PUBLIC = {name: digest(name)[:16] for name in ("v1", "centre", "treasury")}
POST, HOLD, CAPTURE, RELEASE, EXPIRE = (EntryKind[name] for name in ("POST", "HOLD", "CAPTURE", "RELEASE", "EXPIRE"))
OPEN, REVERSE, LIMIT, STATUS, MARK = (EntryKind[name] for name in ("OPEN", "REVERSE", "LIMIT", "STATUS", "MARK"))
PERIOD, ASSET, ERASE = (EntryKind[name] for name in ("CLOSE_PERIOD", "ASSET", "ERASE"))
BOOK = Book().play(STORY)
H1, H2, H4, H5, H6 = (BOOK.holds[name][0] for name in ("h1", "h2", "h4", "h5", "h6"))
PAID, SIZE, CLOSE = BOOK.posts["paid"], len(BOOK.entries), len(BOOK.entries) - 1
MOST = 2**63 - 1


def replayed(entries: list[Entry]) -> Replay:
    replay = Replay()
    for entry in entries:
        found = replay.add(entry.leaf, BOOK.payloads[entry.seq])
        assert isinstance(found, Entry), found
    return replay


def next_leaf(replay: Replay, kind: EntryKind, moves: str, fields: dict) -> bytes:
    """A leaf that follows on correctly: numbers, times and totals are right, whatever the legs say.

    Moves are legs as `-v1 5` (debit) and `+centre 5` (credit), with `held` behind those of the held layer.
    """
    seq = replay.size
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
    return encode(*entry._replace(**fields)[:12])


FREES, GROUP = "-v1 20 held, +centre 20 held", "-treasury 5 held, +centre 5 held, -treasury 2 held, +small 2 held"
SOUND = [
    ("a posting", POST, "-treasury 1, +v1 1", {}),
    ("a hold", HOLD, "-v1 50 held, +centre 50 held", {}),
    ("a part", CAPTURE, "-v1 5 held, +centre 5 held, -v1 5, +centre 5", {"ref_seq": H1}),
    ("a last part", CAPTURE, FREES + ", -v1 5, +centre 5", {"ref_seq": H1}),
    ("a release", RELEASE, FREES, {"ref_seq": H1}),
    ("an expiry", EXPIRE, FREES, {"ref_seq": H1, "recorded_ns": 900}),
    ("a hold of two lines", HOLD, "-v1 1 held, +centre 1 held, -treasury 1 held, +small 1 held", {}),
    ("a part of one line", CAPTURE, "-treasury 2 held, +small 2 held, -treasury 2, +small 2", {"ref_seq": H4}),
    ("one line captured, all freed", CAPTURE, GROUP + ", -treasury 1, +small 1", {"ref_seq": H4}),
    ("a group released", RELEASE, GROUP, {"ref_seq": H4}),
    ("a credit to a frozen account", POST, "-treasury 1, +frozen 1", {}),
    ("a capture from a frozen account", CAPTURE, "-frozen 3 held, +centre 3 held, -frozen 3, +centre 3", {"ref_seq": H5}),
    ("a credit to a held account", POST, "-treasury 1, +court 1", {}),
    ("a release to a held account", RELEASE, "-court 3 held, +centre 3 held", {"ref_seq": H6}),
    ("an account freed", STATUS, "+frozen 0", {}),
    ("a mark on a closed account", MARK, "+gone 0", {}),
    ("a limit", LIMIT, "+v1 0", {"payload": b"50..200\nreason"}),
    ("a posting of the open period", POST, "-treasury 1, +v1 1", {"effective_ns": 400}),
    ("a late posting", POST, "-treasury 1, +v1 1", {"effective_ns": 501, "ref_seq": CLOSE}),
    ("the next close", PERIOD, "", {"effective_ns": 401}),
    ("the rest taken back", REVERSE, "-centre 5, +treasury 5", {"ref_seq": PAID}),
    ("an asset", ASSET, "", {"payload": b"GPU.s:H20=17/3"}),
    ("an erasure", ERASE, "", {"ref_seq": PAID}),
]  # fmt: skip
KIND, BALANCE, PAYLOAD = (
    "its legs are not those of its kind",
    "debits and credits differ",
    "its payload is not that of its kind",
)
NO_HOLD, LEFT = "its hold is closed or unknown", "does not free what the hold has left"
ACCOUNTS, TIME = "its accounts are not those of the hold", "comes before or after the hold expires"
FOLLOWS, LIMITS, RANGE = (
    "does not follow the account's previous entry",
    "an account is beyond its limits",
    "a total is out of range",
)
FROZEN, LEGAL = "debits an account that is frozen", "debits an account under a legal hold"
CLOSED, NOT_EMPTY = "touches a closed account", "closes an account that is not empty"
DATED, CLOSING, LATE = (
    "is dated in a closed period", "closes a period that is closed or not over", "a late posting is not dated when it is recorded",
)  # fmt: skip
REFERENCE, REGISTERED = "does not refer to an earlier entry", "its asset is unknown, or registered twice"
FORGED = [
    ("a number left out", POST, "-treasury 1, +v1 1", {"seq": SIZE + 1}, "is not numbered as it stands"),
    ("time standing still", POST, "-treasury 1, +v1 1", {"recorded_ns": 500}, "recorded time does not increase"),
    ("a second genesis", EntryKind.GENESIS, "", {}, KIND),
    ("a note with legs", EntryKind.NOTE, "-treasury 1, +v1 1", {}, KIND),
    ("an opening with money in it", OPEN, "+new 5", {}, KIND),
    ("an opening of two", OPEN, "+new 0, +newer 0", {}, KIND),
    ("an account opened twice", OPEN, "+v1 0", {}, KIND),
    ("an account opened beyond its limits", OPEN, "+new 0", {"payload": b"1\nnew"}, LIMITS),
    ("an account opened without sense", OPEN, "+new 0", {"payload": b"little\nnew"}, PAYLOAD),
    ("a posting of one leg", POST, "+v1 1", {}, KIND),
    ("a posting of nothing", POST, "-treasury 0, +v1 0", {}, KIND),
    ("a posting in the held layer", POST, "-treasury 1 held, +v1 1 held", {}, KIND),
    ("money from nowhere", POST, "-treasury 1, +v1 2", {}, BALANCE),
    ("money from an account nobody opened", POST, "-nobody 1, +v1 1", {}, FOLLOWS),
    ("a voucher overspent", POST, "-v1 51, +centre 51", {}, LIMITS),
    ("a voucher held beyond its worth", HOLD, "-v1 51 held, +centre 51 held", {}, LIMITS),
    ("an account filled beyond its ceiling", POST, "-treasury 4, +small 4", {}, LIMITS),
    ("a hold beyond a ceiling", HOLD, "-treasury 4 held, +small 4 held", {}, LIMITS),
    ("a total that cannot be stored", POST, f"-treasury {MOST}, +centre {MOST}", {}, RANGE),
    ("a hold of two debits", HOLD, "-v1 1 held, -centre 1 held", {}, KIND),
    ("a hold of unequal sides", HOLD, "-v1 1 held, +centre 2 held", {}, BALANCE),
    ("a hold of unequal lines", HOLD, "-v1 1 held, +centre 2 held, -treasury 2 held, +centre 1 held", {}, KIND),
    ("a hold of one line twice", HOLD, "-v1 1 held, +centre 1 held, -v1 1 held, +centre 1 held", {}, KIND),
    ("a hold of seventeen lines", HOLD, ", ".join(["-treasury 1 held, +centre 1 held"] * 17), {}, KIND),
    ("a hold that has expired", HOLD, "-v1 1 held, +centre 1 held", {"effective_ns": 501}, TIME),
    ("a release of no hold", RELEASE, FREES, {}, NO_HOLD),
    ("a release of a closed hold", RELEASE, "-v1 5 held, +centre 5 held", {"ref_seq": H2}, NO_HOLD),
    ("a release of a part", RELEASE, "-v1 9 held, +centre 9 held", {"ref_seq": H1}, LEFT),
    ("a release of one line", RELEASE, "-treasury 5 held, +centre 5 held", {"ref_seq": H4}, LEFT),
    ("a release of a line twice", RELEASE, ", ".join(["-v1 10 held, +centre 10 held"] * 2), {"ref_seq": H1}, ACCOUNTS),
    ("a capture without freeing", CAPTURE, "-v1 9, +centre 9", {"ref_seq": H1}, KIND),
    ("more captured than freed", CAPTURE, "-v1 5 held, +centre 5 held, -v1 9, +centre 9", {"ref_seq": H1}, LEFT),
    ("a capture that loses a part", CAPTURE, "-v1 9 held, +centre 9 held, -v1 5, +centre 5", {"ref_seq": H1}, LEFT),
    ("more freed than held", CAPTURE, "-v1 21 held, +centre 21 held, -v1 21, +centre 21", {"ref_seq": H1}, LEFT),
    ("one line freed, another captured", CAPTURE, "-treasury 2 held, +small 2 held, -treasury 2, +centre 2", {"ref_seq": H4}, LEFT),
    ("a capture for another", CAPTURE, FREES + ", -v1 20, +treasury 20", {"ref_seq": H1}, ACCOUNTS),
    ("a capture turned round", CAPTURE, FREES + ", +v1 20, -centre 20", {"ref_seq": H1}, KIND),
    ("a capture at the expiry", CAPTURE, FREES + ", -v1 20, +centre 20", {"ref_seq": H1, "recorded_ns": 900}, TIME),
    ("a release at the expiry", RELEASE, FREES, {"ref_seq": H1, "recorded_ns": 900}, TIME),
    ("an expiry before its time", EXPIRE, FREES, {"ref_seq": H1, "recorded_ns": 899}, TIME),
    ("a frozen account debited", POST, "-frozen 1, +centre 1", {}, FROZEN),
    ("a frozen account held", HOLD, "-frozen 1 held, +centre 1 held", {}, FROZEN),
    ("a frozen account debited by a reversal", REVERSE, "-frozen 1, +treasury 1", {"ref_seq": PAID}, FROZEN),
    ("an account of a court debited", POST, "-court 1, +centre 1", {}, LEGAL),
    ("an account of a court held", HOLD, "-court 1 held, +centre 1 held", {}, LEGAL),
    ("a capture against a court", CAPTURE, "-court 3 held, +centre 3 held, -court 3, +centre 3", {"ref_seq": H6}, LEGAL),
    ("a closed account credited", POST, "-treasury 1, +gone 1", {}, CLOSED),
    ("a closed account opened again", STATUS, "+gone 0", {}, CLOSED),
    ("a limit of a closed account", LIMIT, "+gone 0", {"payload": b"\nreason"}, CLOSED),
    ("an account closed with money in it", STATUS, "+centre 0", {"flags": Restriction.CLOSED}, NOT_EMPTY),
    ("a limit that does not hold", LIMIT, "+v1 0", {"payload": b"51\nreason"}, LIMITS),
    ("a limit without sense", LIMIT, "+v1 0", {"payload": b"a lot\nreason"}, PAYLOAD),
    ("a limit of nobody", LIMIT, "+nobody 0", {}, FOLLOWS),
    ("a status of nobody", STATUS, "+nobody 0", {}, FOLLOWS),
    ("a mark with an amount", MARK, "+v1 1", {}, KIND),
    ("a mark that debits", MARK, "-v1 0", {}, KIND),
    ("a posting of a closed period", POST, "-treasury 1, +v1 1", {"effective_ns": 399}, DATED),
    ("a reversal in a closed period", REVERSE, "-centre 1, +treasury 1", {"ref_seq": PAID, "effective_ns": 1}, DATED),
    ("a capture in a closed period", CAPTURE, FREES + ", -v1 5, +centre 5", {"ref_seq": H1, "effective_ns": 1}, DATED),
    ("a late posting with a date", POST, "-treasury 1, +v1 1", {"ref_seq": CLOSE}, LATE),
    ("a period closed twice", PERIOD, "", {"effective_ns": 400}, CLOSING),
    ("a period closed before its end", PERIOD, "", {"effective_ns": 502}, CLOSING),
    ("a close with legs", PERIOD, "-treasury 1, +v1 1", {"effective_ns": 450}, KIND),
    ("a reversal of what comes later", REVERSE, "-centre 1, +treasury 1", {"ref_seq": SIZE}, REFERENCE),
    ("a reversal out of balance", REVERSE, "-centre 1, +treasury 2", {"ref_seq": PAID}, BALANCE),
    ("an erasure of what comes later", ERASE, "", {"ref_seq": SIZE}, REFERENCE),
    ("an asset's number taken", ASSET, "", {"payload": b"TOKEN:x=16/0"}, REGISTERED),
    ("an asset's code taken", ASSET, "", {"payload": b"GPU.s:H100=17/3"}, REGISTERED),
    ("an asset without sense", ASSET, "", {"payload": b"GPU.s:H20=017/3"}, PAYLOAD),
]  # fmt: skip


def judged(replay: Replay, kind: EntryKind, moves: str, fields: dict) -> Entry | Fault:
    payload = fields.get("payload")
    rest = {name: value for name, value in fields.items() if name != "payload"}
    return replay.add(next_leaf(replay, kind, moves, rest), payload)


@pytest.mark.parametrize(("_what", "kind", "moves", "fields"), SOUND, ids=[what for what, *_ in SOUND])
def test_a_sound_leaf_is_taken(_what, kind, moves, fields):
    """What the rules allow follows on: so a refusal below means its one fault."""
    assert isinstance(judged(replayed(BOOK.entries), kind, moves, fields), Entry)


@pytest.mark.parametrize(("_what", "kind", "moves", "fields", "fault"), FORGED, ids=[what for what, *_ in FORGED])
def test_a_leaf_that_breaks_a_rule_is_found(_what, kind, moves, fields, fault):
    """A writer that breaks its own rules is found by its leaves alone, at the entry where it did."""
    found = judged(replayed(BOOK.entries), kind, moves, fields)
    assert isinstance(found, Fault)
    assert found.where.startswith(f"entry {SIZE}")
    assert found.en == fault


def test_an_asset_that_nobody_registered_is_found():
    """An account can only be opened in an asset of the log; without the payloads of assets nobody can tell."""
    replay = replayed(BOOK.entries)
    leg = PostedLeg(-1, bytes(16), 18, 1, 0, 0, NO_SEQ, 0, 0, 0, 0)
    leaf = next_leaf(replay, OPEN, "", {"legs": (leg,)})
    assert replay.add(leaf).en == REGISTERED
    blind = Replay()
    assert blind.fold(entry.leaf for entry in BOOK.entries) is None
    assert isinstance(blind.add(leaf), Entry)


@pytest.mark.parametrize(
    ("moves", "seq", "sound"),
    [
        ("-centre 5, +treasury 5", PAID, True),
        ("-centre 6, +treasury 6", PAID, False),
        ("-treasury 1, +centre 1", PAID, False),
        ("-centre 1, +v1 1", PAID, False),
        ("-centre 1, +treasury 1", H4, False),
        ("-centre 10, +v1 10", BOOK.entries[H1 + 2].seq, True),
        ("-centre 11, +v1 11", BOOK.entries[H1 + 2].seq, False),
    ],
)
def test_reversals_are_summed_against_their_original(moves, seq, sound):
    """Leg by leg no more is taken back, over all reversals, than a posting or a capture moved; nothing else is reversed."""
    replay = replayed(BOOK.entries)
    assert isinstance(judged(replay, REVERSE, moves, {"ref_seq": seq}), Entry)
    found = replay.check_original(BOOK.entries[seq].leaf)
    assert (found is None) == sound
    assert sound or found.where == f"entry {seq}"


@pytest.mark.parametrize("field", ["prev_seq", "debits_posted", "credits_posted", "debits_held", "credits_held"])
def test_totals_that_do_not_follow_are_found(field):
    """Each leg must carry on from the account's previous entry, to the unit."""
    last = BOOK.entries[BOOK.holds["h3"][0]]
    legs = [*last.legs[:-1], last.legs[-1]._replace(**{field: getattr(last.legs[-1], field) + 1})]
    found = replayed(BOOK.entries[: last.seq]).add(encode(*last._replace(legs=tuple(legs))[:12]))
    assert isinstance(found, Fault)
    assert found.where == f"entry {last.seq}, account {PUBLIC['centre'].hex()}"
    assert found.invariant == "chain"


def test_the_tree_grows_with_the_leaves():
    """The head is that of the leaves added, and every tile that becomes full is put aside."""
    replay = replayed(BOOK.entries)
    leaves = [entry.leaf for entry in BOOK.entries]
    for at in range(SIZE, 600):
        leaves.append(next_leaf(replay, EntryKind.NOTE, "", {"digest": digest(str(at))}))
        assert isinstance(replay.add(leaves[-1]), Entry)
    assert replay.frontier.root() == root_of([hash_leaf(leaf) for leaf in leaves])
    assert [(tile.level, tile.number) for tile in replay.tiles] == [(0, 0), (0, 1)]


def changed(at: int, bit: int) -> list[bytes]:
    leaves = [entry.leaf for entry in BOOK.entries]
    leaf = bytearray(leaves[at])
    leaf[bit // 8 % len(leaf)] ^= 1 << bit % 8
    leaves[at] = bytes(leaf)
    return leaves


@given(at=st.integers(0, SIZE - 1), bit=st.integers(0, 8 * 606 - 1))
def test_a_changed_bit_never_confuses_the_verifier(at, bit):
    """Whatever bit of whatever leaf is changed, it is a fault, or the root is another; the short way says the same."""
    leaves, replay, found = changed(at, bit), Replay(), None
    for seq, leaf in enumerate(leaves):
        found = replay.add(leaf, BOOK.payloads[seq])
        if isinstance(found, Fault):
            break
    short = Replay()
    known = {seq: payload for seq, payload in BOOK.payloads.items() if payload is not None}
    assert short.fold(leaves, known) == (found if isinstance(found, Fault) else None)
    assert (short.size, short.last_ns, short.accounts) == (replay.size, replay.last_ns, replay.accounts)
    assert isinstance(found, Fault) or replay.frontier.root() != root_of([hash_leaf(e.leaf) for e in BOOK.entries])
