"""Ids that nobody looks up were never used, whatever came before and in whatever order."""

from __future__ import annotations

from random import Random

import pytest

from ledger.fresh import FreshIds, newest_of


class _Book:
    """What a writer does with ids: take, look the doubtful ones up, follow; and all ids that were ever used."""

    def __init__(self) -> None:
        self.fresh, self.used, self.looked_up = FreshIds(), set(), 0

    def load(self, ids: list[bytes]) -> None:
        doubtful = self.fresh.take(ids)
        self.looked_up += len(doubtful)
        assert not self.used & (set(ids) - set(doubtful)), "an id that was used before is taken for a new one"
        newest = newest_of(ids)
        if doubtful and doubtful[-1] is ids[-1] and self.fresh.is_elsewhere(newest):
            self.fresh.follow(newest, [*ids, *self.used])
        self.used.update(ids)

    def use(self, event_id: bytes) -> None:
        """As entries of the ledger's own do."""
        self.fresh.exclude(event_id)
        self.used.add(event_id)


def _id(random: Random, at: int) -> bytes:
    return (at + random.randint(-3, 3)).to_bytes(6) + random.randbytes(10)


@pytest.mark.parametrize("part", range(20))
def test_no_used_id_passes_for_a_new_one(seed, part):
    """Ids of all kinds, late, repeated, random, near each other, in any order."""
    random, book = Random(seed * 100 + part), _Book()
    at, known = 10**9, [bytes(16), b"\xff" * 16]
    for _ in range(300):
        at += random.choice([1, 5, 5, 1 << 20])
        ids = [_id(random, at) for _ in range(random.randint(1, 6))]
        ids += random.sample(known, min(len(known), random.choice([0, 0, 1, 2])))
        ids += [random.randbytes(16)] * random.choice([0, 0, 1])
        random.shuffle(ids)
        book.load(ids)
        if random.random() < 0.2:
            book.use(random.choice([random.randbytes(16), _id(random, at + 2)]))
        if random.random() < 0.02:
            book.fresh = FreshIds()
        known += ids


def test_ids_that_ascend_are_looked_up_once():
    """After the first request none of a thousand costs a lookup, though random ids stand among them."""
    random, book = Random(7), _Book()
    for _ in range(1000):
        book.use(random.randbytes(16))
    for at in range(10**12, 10**12 + 3000, 3):
        book.load([(at + more).to_bytes(6) + random.randbytes(10) for more in range(3)])
    assert book.looked_up == 3
