"""Many postings of one request at once: entry by entry what the state machine makes of each alone; and the quick HMAC beneath."""

import hmac
import json
import random

import pytest

from ledger.apply import apply
from ledger.entry import EntryKind, Event, credit, debit
from ledger.mac import Keyed, mac
from ledger.pairs import Posting, post_series
from ledger.refusal import Refusal
from tests.ledger.notation import Book, seen
from tests.shared_data import SHARED, needs_shared

FUNDED = """
    open treasury
    open v1 floor 0
    open v2 floor 0 ceiling 90
    open centre
    open flops PFLOPS.h
    treasury → v1 100
    treasury → v2 60
"""
NAMES = ("treasury", "v1", "v2", "centre", "flops")


def postings(rng: random.Random, book: Book) -> list[Posting]:
    """Mostly plain ones; at times without a payload, of one account, of two assets, of many legs, or beyond a limit."""

    def legs():
        one, two = (book.numbers[name] for name in rng.choices(NAMES, (1, 9, 9, 9, 1), k=2))
        amount = rng.choice([1, 2, 3, 5, 8, rng.choice([0, 40, 100])])
        pair = debit(one, amount), credit(two, amount)
        return pair if rng.random() < 0.9 else (*pair, *pair) if rng.random() < 0.5 else pair[::-1]

    return [
        Posting(rng.randbytes(16), rng.randbytes(32), rng.choice([b"", b"usage", rng.randbytes(200)]), legs())
        for _ in range(rng.randint(0, 6))
    ]


def one_by_one(state, model, series, now_ns):
    """What `post_series` says, by `apply`."""
    recorded = []
    for event_id, salt, payload, legs in series:
        event = model._replace(event_id=event_id, salt=salt, payload=payload, legs=legs)
        entry = apply(state, event, now_ns)
        if isinstance(entry, Refusal):
            return recorded, (event, entry)
        recorded.append((entry, event))
    return recorded, None


def test_a_series_is_what_its_postings_are_one_by_one(seed):
    """Entries, events, totals, the refusal if any, and what taking back leaves, whatever the legs, times and closed periods."""
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(150):
        alone, together = Book().play(FUNDED), Book().play(FUNDED)
        if rng.random() < 0.3:
            for book in (alone, together):
                book.state.closed_ns, book.state.closed_seq = 50, 1
        model = Event(EntryKind.POST, b"", rng.randbytes(32), ruleset=rng.randbytes(32), actor=rng.randbytes(8))
        now_ns, before, mark = rng.choice([1, 49, 50, 1000]), seen(together.state), len(together.state.undo)
        series = postings(rng, alone)
        recorded = []
        refused = post_series(together.state, model, series, now_ns, recorded)
        assert (recorded, refused) == one_by_one(alone.state, model, series, now_ns)
        assert seen(together.state) == seen(alone.state)
        together.state.rollback(mark)
        assert seen(together.state) == before


def test_a_series_says_nothing_else_in_common():
    """Whatever else an event may hold is the business of `apply`."""
    model = Event(EntryKind.POST, b"", bytes(32))
    for other in ({"late": True}, {"effective_ns": 5}, {"ref_seq": 1}, {"restriction": 1}, {"payload": b"x"}):
        with pytest.raises(ValueError, match="a series shares"):
            post_series(Book().state, model._replace(**other), [], 1, [])


def test_the_quick_hmac_is_hmac(seed):
    """For keys shorter and longer than a block and texts around the padding's edges."""
    print("seed", seed)
    rng = random.Random(seed)
    for key_bytes in (0, 1, 31, 32, 33, 64, 65, 200):
        key = rng.randbytes(key_bytes)
        keyed = Keyed(key)
        for size in (0, 1, 55, 56, 64, 119, 1000):
            text = rng.randbytes(size)
            assert mac(key, text) == keyed.digest(text) == hmac.digest(key, text, "sha256")
            assert keyed.digests([text, b"", text]) == [keyed.digest(text), keyed.digest(b""), keyed.digest(text)]


@needs_shared
def test_our_hmac_is_that_of_the_vectors():
    """Wycheproof's HMAC-SHA256, short and long keys included: both of our ways give each valid tag, and none that is not."""
    found = json.loads((SHARED / "vectors/wycheproof/hmac_sha256_test.json").read_text("utf-8"))
    cases = [one for group in found["testGroups"] for one in group["tests"]]
    assert len(cases) == found["numberOfTests"] > 0
    for one in cases:
        key, message, tag = (bytes.fromhex(one[name]) for name in ("key", "msg", "tag"))
        for ours in (mac(key, message), Keyed(key).digest(message)):
            assert (ours == tag) == (one["result"] == "valid"), one["comment"]
