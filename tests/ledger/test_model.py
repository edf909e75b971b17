"""The state machine at random, against a model that shares no code with it, and the verifier against both."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from ledger.amount import CNY, COMPUTE
from ledger.apply import apply
from ledger.entry import Entry, EntryKind, Leg, Limits, Opening, Restriction, Side, credit, debit
from ledger.standing import Fault
from ledger.state import HoldStatus, Original, State
from ledger.verify import Replay
from tests.ledger.notation import digest, event, payload_of, post, seen

Moves = list[tuple[int, int]]


class Model:
    """What the accounts should hold, in the plainest way: lists of what moved, summed whenever asked."""

    def __init__(self):
        self.limits: list[Limits] = []
        self.assets: list[str] = []
        self.restrictions: list[int] = []
        self.moved: Moves = []
        self.holds: list[dict] = []
        self.time = self.closed = 0

    def balance(self, account: int) -> int:
        return sum(amount for moved, amount in self.moved if moved == account)

    def held(self, account: int, side: str = "from") -> int:
        lines = [line for hold in self.holds if hold["end"] is None for line in hold["lines"]]
        return sum(line["amount"] - line["captured"] for line in lines if line[side] == account)

    def sound(self) -> bool:
        """Whether every account has what its floor asks for, and room for what is on its way to it."""
        return all(
            (limits.floor is None or self.balance(account) - self.held(account) >= limits.floor)
            and (limits.ceiling is None or self.balance(account) + self.held(account, "to") <= limits.ceiling)
            for account, limits in enumerate(self.limits)
        )

    def may_move(self, moves: Moves) -> bool:
        """Whether no restriction stands against it: a credit needs an account that is open, a debit a free one."""
        return not any(
            self.restrictions[account] & (Restriction.CLOSED if amount > 0 else 7) for account, amount in moves
        )

    def move(self, moves: Moves) -> bool:
        """Move if it balances, restrictions allow it and every limit is kept."""
        sums = dict.fromkeys(self.assets, 0)
        for account, amount in moves:
            sums[self.assets[account]] += amount
        if any(sums.values()) or not self.may_move(moves):
            return False
        size = len(self.moved)
        self.moved += moves
        if not self.sound():
            del self.moved[size:]
            return False
        return True


class Ledger(RuleBasedStateMachine):
    """Random events of every kind and clocks; each outcome must be the model's, and the invariants hold throughout."""

    accounts = Bundle("accounts")
    holds = Bundle("holds")
    posts = Bundle("posts")
    amounts = st.integers(-1, 40)

    def __init__(self):
        super().__init__()
        self.state, self.model, self.replay, self.now = State(), Model(), Replay(), 1
        self.record(event("genesis", EntryKind.GENESIS), expected=True)

    def record(self, asked, *, expected) -> Entry | None:
        """Apply an event; it must be recorded exactly when the model says so, and the verifier must agree with it."""
        before = seen(self.state)
        outcome = apply(self.state, asked, self.now)
        assert isinstance(outcome, Entry) == expected, outcome
        if not expected:
            assert seen(self.state) == before
            return None
        assert outcome.seq == before[0]
        assert outcome.recorded_ns == max(self.now, before[1] + 1) == self.next_time()
        self.model.time = outcome.recorded_ns
        assert not isinstance(found := self.replay.add(outcome.leaf, payload_of(asked)), Fault), found
        return outcome

    def next_time(self) -> int:
        return max(self.now, self.model.time + 1)

    @initialize(target=accounts)
    def begin(self):
        given = ((None, CNY), (0, CNY), (0, CNY), (None, COMPUTE))
        return multiple(*(self.open(Limits(floor), asset) for floor, asset in given))

    limits = st.builds(Limits, st.sampled_from([None, None, -5, 0]), st.sampled_from([None] * 5 + [50]))

    @rule(target=accounts, limits=limits, asset=st.sampled_from([CNY, CNY, CNY, COMPUTE]))
    def open(self, limits, asset):
        number = len(self.model.limits)
        name = f"account {number}"
        self.record(event(name, EntryKind.OPEN, opening=Opening(name, digest(name)[:16], asset, limits)), expected=True)
        self.model.limits.append(limits)
        self.model.assets.append(asset.code)
        self.model.restrictions.append(0)
        return number

    @rule(target=posts, source=accounts, goal=accounts, amount=amounts)
    def transfer(self, source, goal, amount):
        return self.post([(source, Side.DEBIT, amount), (goal, Side.CREDIT, amount)])

    @rule(target=posts, legs=st.lists(st.tuples(accounts, st.sampled_from(Side), amounts), max_size=4))
    def post(self, legs, **fields):
        """A posting counts if it balances per asset, is allowed and leaves every account within its limits."""
        moves = [(account, amount if side is Side.CREDIT else -amount) for account, side, amount in legs]
        fits = len(legs) > 1 and all(amount > 0 for _, _, amount in legs)
        dated = fields.get("effective_ns", 0)
        fits = fits and (not dated or dated >= self.model.closed or fields["late"]) and self.model.move(moves)
        legs = [Leg(account + 1, side, amount) for account, side, amount in legs]
        entry = self.record(post("p", *legs, **fields), expected=fits)
        if entry is None:
            return multiple()
        moved: dict[tuple[int, int], int] = {}
        for account, side, amount in legs:
            moved[account, side] = moved.get((account, side), 0) + amount
        self.state.originals[entry.seq] = Original(moved)
        return {"seq": entry.seq, "moves": moves, "left": dict(moved)}

    @rule(source=accounts, goal=accounts, back=st.integers(1, 40), late=st.booleans())
    def post_dated(self, source, goal, back, late):
        """Before the end of a closed period only what may be late is taken, and into the open one."""
        at = max(1, self.now - back)
        self.post([(source, Side.DEBIT, 1), (goal, Side.CREDIT, 1)], effective_ns=at, late=late)

    @rule(posting=posts, account=accounts, side=st.sampled_from(Side), amount=st.integers(1, 9))
    def reverse(self, posting, account, side, amount):
        """All that is left, or a leg that was not there: then it must balance as well."""
        left = {key: units for key, units in posting["left"].items() if units}
        legs = [Leg(number, 1 - to, units) for (number, to), units in left.items()]
        odd = [Leg(account + 1, side, amount), *legs[1:]] if amount < 3 else []
        asked = odd or legs
        sums: dict[tuple[int, int], int] = {}
        for number, to, units in asked:
            sums[number, 1 - to] = sums.get((number, 1 - to), 0) + units
        fits = len(asked) > 1 and all(units <= left.get(key, 0) for key, units in sums.items())
        moves = [(number - 1, units if to else -units) for number, to, units in asked]
        fits = fits and self.model.move(moves)
        self.record(event("r", EntryKind.REVERSE, tuple(odd), ref_seq=posting["seq"]), expected=fits)
        if fits:
            for key, units in sums.items():
                posting["left"][key] -= units

    @rule(account=accounts, limits=limits)
    def limit(self, account, limits):
        """Limits may become whatever holds now."""
        before, self.model.limits[account] = self.model.limits[account], limits
        fits = self.model.sound() and not self.model.restrictions[account] & Restriction.CLOSED
        if not fits:
            self.model.limits[account] = before
        self.record(event("l", EntryKind.LIMIT, (credit(account + 1, 0),), limits=limits), expected=fits)

    @rule(account=accounts, restriction=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]))
    def restrict(self, account, restriction):
        model = self.model
        empty = not (model.balance(account) or model.held(account) or model.held(account, "to"))
        fits = not model.restrictions[account] & Restriction.CLOSED and (empty or not restriction & Restriction.CLOSED)
        self.record(event("s", EntryKind.STATUS, (credit(account + 1, 0),), restriction=restriction), expected=fits)
        if fits:
            model.restrictions[account] = restriction

    @rule(account=accounts)
    def mark(self, account):
        self.record(event("m", EntryKind.MARK, (credit(account + 1, 0),)), expected=True)

    @rule(back=st.integers(-5, 60))
    def close_period(self, back):
        until = self.now - back
        fits = self.model.closed < until <= self.next_time()
        self.record(event("k", EntryKind.CLOSE_PERIOD, effective_ns=until), expected=fits)
        if fits:
            self.model.closed = until

    pairs = st.lists(st.tuples(accounts, accounts, st.integers(0, 12)), min_size=1, max_size=3)

    @rule(target=holds, pairs=pairs, lasts=st.none() | st.integers(-5, 60))
    def hold(self, pairs, lasts):
        expires = None if lasts is None else self.now + lasts
        lines = [{"from": one, "to": two, "amount": amount, "captured": 0} for one, two, amount in pairs]
        hold = {"lines": lines, "expires": expires, "end": None, "seq": self.state.size}
        fits = len({(one, two) for one, two, _ in pairs}) == len(pairs)
        for one, two, amount in pairs:
            fits = fits and amount > 0 and self.model.assets[one] == self.model.assets[two]
            fits = fits and self.model.may_move([(one, -1), (two, 1)])
        fits = fits and (expires is None or expires > self.next_time())
        if fits:
            self.model.holds.append(hold)
            fits = self.model.sound()
            if not fits:
                self.model.holds.pop()
        legs = tuple(leg for one, two, amount in pairs for leg in (debit(one + 1, amount), credit(two + 1, amount)))
        self.record(event("h", EntryKind.HOLD, legs, expires_ns=expires), expected=fits)
        return hold if fits else multiple()

    @rule(target=holds, goal=accounts, lasts=st.none() | st.integers(20, 60))
    def hold_of_two_lines(self, goal, lasts):
        """Often enough to be captured: the first account, which nobody limits at first, reserves for two others."""
        pairs = [(0, goal, 9), (0, 1, 9)] if goal not in {1, 3} else [(0, 2, 9)]
        return self.hold(pairs, lasts)

    @rule(hold=holds, amounts=st.lists(st.integers(-1, 12), min_size=3, max_size=3), final=st.booleans())
    def capture(self, hold, amounts, final):
        lines = hold["lines"]
        asked = list(zip(lines, amounts, strict=False))
        fits = self.is_open(hold) and any(amount for _, amount in asked)
        fits = fits and all(0 <= amount <= line["amount"] - line["captured"] for line, amount in asked)
        fits = fits and not any(self.model.restrictions[line["from"]] & Restriction.LEGAL_HOLD for line in lines)
        legs = tuple(debit(line["from"] + 1, amount) for line, amount in asked)
        self.record(event("c", EntryKind.CAPTURE, legs, ref_seq=hold["seq"], final=final), expected=fits)
        if fits:
            for line, amount in asked:
                line["captured"] += amount
                self.model.moved += [(line["from"], -amount), (line["to"], amount)]
            if final or all(line["captured"] == line["amount"] for line in lines):
                hold["end"] = HoldStatus.CAPTURED

    @rule(hold=holds, kind=st.sampled_from([EntryKind.RELEASE, EntryKind.EXPIRE]))
    def end(self, hold, kind):
        due = hold["expires"] is not None and self.next_time() >= hold["expires"]
        fits = hold["end"] is None and due == (kind is EntryKind.EXPIRE)
        self.record(event("e", kind, ref_seq=hold["seq"]), expected=fits)
        if fits:
            hold["end"] = HoldStatus.EXPIRED if kind is EntryKind.EXPIRE else HoldStatus.RELEASED

    def is_open(self, hold) -> bool:
        return hold["end"] is None and (hold["expires"] is None or self.next_time() < hold["expires"])

    @rule(by=st.integers(-20, 30))
    def tick(self, by):
        self.now = max(1, self.now + by)

    @rule(source=accounts, goal=accounts, amount=st.integers(1, 9))
    def take_back_a_chain(self, source, goal, amount):
        """A chain that fails at its end is undone, whatever came before."""
        before, mark = seen(self.state), len(self.state.undo)
        for asked in (
            event("x", EntryKind.OPEN, opening=Opening("x", digest("x")[:16], CNY)),
            post("y", debit(source + 1, amount), credit(goal + 1, amount)),
            event("z", EntryKind.HOLD, (debit(goal + 1, amount), credit(source + 1, amount))),
            event("f", EntryKind.STATUS, (credit(goal + 1, 0),), restriction=1),
            event("l", EntryKind.LIMIT, (credit(goal + 1, 0),), limits=Limits(-99)),
            event("k", EntryKind.CLOSE_PERIOD, effective_ns=self.model.closed + 1),
            event("w", EntryKind.RELEASE, ref_seq=self.state.size + 2),
        ):
            apply(self.state, asked, self.now)
        self.state.rollback(mark)
        assert seen(self.state) == before

    @invariant()
    def nothing_is_made_or_lost(self):
        """Debits equal credits per asset, posted and held."""
        for asset in (CNY, COMPUTE):
            accounts = [account for account in self.state.accounts.values() if account.asset == asset.number]
            assert sum(a.debits_posted for a in accounts) == sum(a.credits_posted for a in accounts)
            assert sum(a.debits_held for a in accounts) == sum(a.credits_held for a in accounts)

    @invariant()
    def accounts_hold_what_the_model_says(self):
        """Balance, reserved amounts, limits and restrictions are those of the model; every limit is kept."""
        assert self.model.sound()
        for number, account in self.state.accounts.items():
            told = number - 1
            assert (account.balance, account.debits_held, account.credits_held) == (
                self.model.balance(told),
                self.model.held(told),
                self.model.held(told, "to"),
            )
            assert (account.limits, account.restriction) == (self.model.limits[told], self.model.restrictions[told])

    @invariant()
    def a_hold_is_the_sum_of_its_ends(self):
        """Captured, given back and remaining make the amount; a closed hold stays closed."""
        for told_of in self.model.holds:
            hold = self.state.holds[told_of["seq"]]
            assert hold.status == (told_of["end"] or HoldStatus.OPEN)
            assert [line.remaining for line in hold.lines] == [
                0 if told_of["end"] else line["amount"] - line["captured"] for line in told_of["lines"]
            ]


Ledger.TestCase.settings = settings(stateful_step_count=30)
TestLedger = Ledger.TestCase
