"""What clients ask for: sound and unsound requests at random, about what they may know of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ledger.amount import CNY, COMPUTE, Asset
from ledger.entry import NO_SEQ, EntryKind, Event, Leg, Limits
from tests.simulation.auditor import Asked
from tests.simulation.books import MAX, Books

MS = 10**6
OPENINGS = (
    *(("fund", CNY, Limits()), ("flops", COMPUTE, Limits()), ("flops user", COMPUTE, Limits(0))),
    *((f"voucher {at}", CNY, Limits(0)) for at in range(4)),
    *((f"centre {at}", CNY, Limits(None, 400)) for at in range(2)),
    ("credit", CNY, Limits(-30, 60)),
)


class Wishes:
    """Draws requests. `now_ns` is what a client's clock shows; `whose` parts the names that processes open."""

    def __init__(self, random: Random, now_ns: Callable[[], int], whose: str = "account") -> None:
        self.random, self.now_ns, self.whose = random, now_ns, whose
        self.asked: list[Event] = []
        self._names = 0

    def request(self, books: Books) -> Asked:
        random = self.random
        draw = random.random()
        if draw < 0.12:
            return self.work(books)
        if draw < 0.3:
            chains = [self.chain(books, random.choice([1, 1, 1, 2])) for _ in range(random.randint(2, 6))]
            return Asked(chains, all_or_nothing=random.random() < 0.4)
        return Asked([self.chain(books, random.choice([1] * 6 + [2, 3, 4]))])

    def work(self, books: Books) -> Asked:
        """Openings, some of accounts that exist or cannot be opened, and a chain; the work may fail at its end."""
        random = self.random
        opens = []
        for _ in range(random.randint(0, 2)):
            self._names += random.random() < 0.7
            limits = random.choice([Limits(), Limits(0), Limits(0), Limits(1), Limits(0, 50)])
            opens.append((f"{self.whose} {self._names}", random.choice([CNY, CNY, COMPUTE]), limits))
        chain = self.chain(books, random.randint(0, 2))
        return Asked([chain], all_or_nothing=True, opens=tuple(opens), is_work=True, fails=random.random() < 0.2)

    def opening(self) -> Asked:
        return Asked([()], all_or_nothing=True, opens=OPENINGS, is_work=True)

    def chain(self, books: Books, length: int) -> tuple[Event, ...]:
        return tuple(self.event(books) for _ in range(length))

    def event(self, books: Books) -> Event:
        """Something new, or what was asked before, as it was or with another content under the same id."""
        random, draw = self.random, self.random.random()
        if self.asked and draw < 0.06:
            return random.choice(self.asked[-40:])
        kinds = (
            *[self.post] * 9, *[self.hold] * 5, *[self.capture] * 5, self.end, self.end, self.reverse, self.reverse,
            self.limit, self.status, self.plain, self.plain, self.malformed,
        )  # fmt: skip
        event = random.choice(kinds)(books)
        if self.asked and draw < 0.09:
            event = event._replace(event_id=random.choice(self.asked[-40:]).event_id)
        self.asked.append(event)
        return event

    def make(self, kind: EntryKind, legs: tuple[Leg, ...] = (), **fields) -> Event:
        if self.random.random() < 0.1:
            fields |= {"salt": self.random.randbytes(32), "payload": self.random.randbytes(20)}
        return Event(kind, self.random.randbytes(16), self.random.randbytes(32), legs, **fields)

    def account(self, books: Books) -> int:
        return self.random.choice([*books.accounts, 10**6] if self.random.random() < 0.03 else list(books.accounts))

    def amount(self) -> int:
        return self.random.choice([*range(1, 25), 100, *([0, -1, MAX, MAX + 1] if self.random.random() < 0.1 else [])])

    def post(self, books: Books) -> Event:
        random, amount = self.random, self.amount()
        source, goal = self.account(books), self.account(books)
        if random.random() < 0.4:
            source = 1
        if random.random() < 0.7:
            goal = self.like(books, source)
        legs = [Leg(source, 0, amount), Leg(goal, 1, amount)]
        if random.random() < 0.2:
            legs += [Leg(source, 0, amount + 1), Leg(goal, 1, 1), Leg(self.like(books, source), 1, amount)]
        if random.random() < 0.05:
            legs = random.choice([legs[:1], legs[1:], [], legs * 33, [legs[0], legs[1]._replace(amount=amount + 1)]])
        return self.make(EntryKind.POST, tuple(legs), **self.date())

    def like(self, books: Books, number: int) -> int:
        """An account of the same asset."""
        asset = books.accounts[number].asset if number in books.accounts else 1
        return self.random.choice([other for other, account in books.accounts.items() if account.asset == asset])

    def date(self) -> dict:
        if self.random.random() > 0.2:
            return {}
        return {
            "effective_ns": self.now_ns() + self.random.randint(-900, 50) * MS,
            "late": self.random.random() < 0.5,
        }

    def hold(self, books: Books) -> Event:
        random = self.random
        legs: list[Leg] = []
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            source, amount = self.account(books), self.amount()
            legs += [Leg(source, 0, amount), Leg(self.like(books, source), 1, amount)]
        if random.random() < 0.05:
            legs = random.choice([legs[1:], [], legs[::-1], legs * 17, legs * 2])
        expires = None
        if random.random() < 0.8:
            expires = max(self.now_ns(), books.last_ns) // MS * MS + random.choice([-1, 0, 1, 2, 5, 20, 100, 5000]) * MS
            expires += random.choice([0, 0, 1, 2])
        return self.make(EntryKind.HOLD, tuple(legs), expires_ns=expires)

    def some_hold(self, books: Books) -> int:
        open_ones = [seq for seq, hold in books.holds.items() if not hold.end]
        known = open_ones if open_ones and self.random.random() < 0.85 else list(books.holds)
        return self.random.choice(known[-12:] if known and self.random.random() < 0.97 else [NO_SEQ, 0, 10**9])

    def capture(self, books: Books) -> Event:
        random, seq = self.random, self.some_hold(books)
        lines = books.holds[seq].lines if seq in books.holds else ()
        legs = [Leg(line.debit, 0, random.choice([0, 1, line.left, line.left // 2, line.left, 7])) for line in lines]
        if random.random() < 0.05:
            legs = random.choice([legs[1:], [leg._replace(side=1) for leg in legs], [Leg(1, 0, -1)]])
        return self.make(EntryKind.CAPTURE, tuple(legs), ref_seq=seq, final=random.random() < 0.4, **self.date())

    def end(self, books: Books) -> Event:
        return self.make(self.random.choice([EntryKind.RELEASE, EntryKind.EXPIRE]), ref_seq=self.some_hold(books))

    def reverse(self, books: Books) -> Event:
        random = self.random
        seq = random.choice([*list(books.posts)[-15:], NO_SEQ, 0])
        legs = [Leg(number, 1 - credited, amount) for (number, credited), amount in books.posts.get(seq, {}).items()]
        part = random.choice([0, 0, 1, 2])
        if part:
            legs = [leg._replace(amount=min(leg.amount, part)) for leg in legs]
        return self.make(EntryKind.REVERSE, tuple(legs) if part else (), ref_seq=seq, **self.date())

    def limit(self, books: Books) -> Event:
        bounds = [None, 0, 0, -20, 500, 40, -(2**70) if self.random.random() < 0.05 else None]
        limits = Limits(self.random.choice(bounds), self.random.choice(bounds))
        return self.make(EntryKind.LIMIT, (Leg(self.account(books), 1, 0),), limits=limits)

    def status(self, books: Books) -> Event:
        bits = self.random.choice([0, 0, 0, 0, 1, 1, 2, 3, 4, 8])
        number = self.account(books) if self.random.random() < 0.5 else max(books.accounts)
        return self.make(EntryKind.STATUS, (Leg(number, 1, 0),), restriction=bits)

    def plain(self, books: Books) -> Event:
        """Notes, marks, closes, assets and erasures."""
        random = self.random
        legs = (Leg(1, 1, 0),) if random.random() < 0.1 else ()
        match random.randrange(5):
            case 0:
                return self.make(EntryKind.MARK, (Leg(self.account(books), 1, 0),) * random.choice([1, 1, 1, 0, 2]))
            case 1:
                until = self.now_ns() - random.choice([-5, 0, 100, 400, 800, 3000]) * MS
                return self.make(EntryKind.CLOSE_PERIOD, legs, effective_ns=until)
            case 2:
                number = random.randint(16, 40)
                return self.make(EntryKind.ASSET, legs, asset=Asset(f"TOKEN:m{number % 7}", number, 0))
            case 3:
                paid = [row.seq for row in books.used.values() if row.kind == EntryKind.POST and any(row.commitment)]
                return self.make(EntryKind.ERASE, legs, ref_seq=random.choice([*paid[-9:], 10**9]))
        return self.make(EntryKind.NOTE, legs)

    def malformed(self, books: Books) -> Event:
        """What no field of a leaf can hold, or what does not belong together."""
        wrong = self.random.choice(
            [
                {"digest": b"short"}, {"event_id": self.random.randbytes(15)}, {"actor": bytes(7)}, {"ruleset": b""},
                {"effective_ns": 2**63}, {"effective_ns": -(2**64)}, {"ref_seq": -1}, {"ref_seq": 2**64},
                {"restriction": 1}, {"expires_ns": 2**63},
            ]
        )  # fmt: skip
        kind = EntryKind.HOLD if "expires_ns" in wrong else EntryKind.POST
        number = self.like(books, 1)
        return self.make(kind, (Leg(1, 0, 1), Leg(number, 1, 1)))._replace(**wrong)
