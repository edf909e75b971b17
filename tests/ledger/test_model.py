"""The state machine at random, against a model that shares no code with it, and the verifier against both."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from ledger.amount import CNY, COMPUTE
from ledger.apply import apply
from ledger.entry import Entry, EntryKind, Leg, Limits, Opening, Side, credit, debit
from ledger.state import HoldStatus, State
from ledger.verify import Fault, Replay
from tests.ledger.notation import digest, event, post, seen


class Model:
    """What the accounts should hold, in the plainest way: lists of what moved, summed whenever asked."""

    def __init__(self):
        self.floors: list[int | None] = []
        self.assets: list[str] = []
        self.moved: list[tuple[int, int]] = []
        self.holds: list[dict] = []
        self.time = 0

    def balance(self, account: int) -> int:
        return sum(amount for moved, amount in self.moved if moved == account)

    def held(self, account: int) -> int:
        open_holds = [hold for hold in self.holds if hold["end"] is None]
        return sum(hold["amount"] - hold["captured"] for hold in open_holds if hold["from"] == account)

    def sound(self) -> bool:
        """Whether every account has what its floor asks for."""
        return all(
            floor is None or self.balance(account) - self.held(account) >= floor
            for account, floor in enumerate(self.floors)
        )


class Ledger(RuleBasedStateMachine):
    """Random openings, postings, holds and clocks; each outcome must be the model's, and the invariants hold throughout."""

    accounts = Bundle("accounts")
    holds = Bundle("holds")
    amounts = st.integers(-1, 40)

    def __init__(self):
        super().__init__()
        self.state, self.model, self.replay, self.now = State(), Model(), Replay(), 1
        self.record(event("genesis", EntryKind.GENESIS), expected=True)

    def record(self, asked, *, expected):
        """Apply an event; it must be recorded exactly when the model says so, and the verifier must agree with it."""
        before = seen(self.state)
        outcome = apply(self.state, asked, self.now)
        assert isinstance(outcome, Entry) == expected, outcome
        if not expected:
            assert seen(self.state) == before
            return
        assert outcome.seq == before[0]
        assert outcome.recorded_ns == max(self.now, before[1] + 1) == self.next_time()
        self.model.time = outcome.recorded_ns
        assert not isinstance(found := self.replay.add(outcome.leaf), Fault), found

    def next_time(self) -> int:
        return max(self.now, self.model.time + 1)

    @initialize(target=accounts)
    def begin(self):
        return multiple(
            *(self.open(floor, asset) for floor, asset in ((None, CNY), (0, CNY), (0, CNY), (None, COMPUTE)))
        )

    @rule(target=accounts, floor=st.sampled_from([None, -5, 0]), asset=st.sampled_from([CNY, COMPUTE]))
    def open(self, floor, asset):
        number = len(self.model.floors)
        name = f"account {number}"
        self.record(
            event(name, EntryKind.OPEN, opening=Opening(name, digest(name)[:16], asset, Limits(floor))), expected=True
        )
        self.model.floors.append(floor)
        self.model.assets.append(asset.code)
        self.replay.floors = {**self.replay.floors, digest(name)[:16]: floor}
        return number

    @rule(source=accounts, goal=accounts, amount=amounts)
    def transfer(self, source, goal, amount):
        self.post([(source, Side.DEBIT, amount), (goal, Side.CREDIT, amount)])

    @rule(legs=st.lists(st.tuples(accounts, st.sampled_from(Side), amounts), max_size=4))
    def post(self, legs):
        """A posting counts if it balances per asset and leaves every account above its floor."""
        moves = [(account, amount if side is Side.CREDIT else -amount) for account, side, amount in legs]
        sums = dict.fromkeys(self.model.assets, 0)
        for account, amount in moves:
            sums[self.model.assets[account]] += amount
        fits = len(legs) > 1 and all(amount > 0 for _, _, amount in legs) and not any(sums.values())
        if fits:
            size = len(self.model.moved)
            self.model.moved += moves
            fits = self.model.sound()
            if not fits:
                del self.model.moved[size:]
        self.record(post("p", *(Leg(account + 1, side, amount) for account, side, amount in legs)), expected=fits)

    @rule(target=holds, source=accounts, goal=accounts, amount=amounts, lasts=st.none() | st.integers(-5, 60))
    def hold(self, source, goal, amount, lasts):
        expires = None if lasts is None else self.now + lasts
        hold = {"from": source, "to": goal, "amount": amount, "captured": 0, "expires": expires, "end": None}
        hold["seq"] = self.state.size
        valid = amount > 0 and self.model.assets[source] == self.model.assets[goal]
        fits = valid and (expires is None or expires > self.next_time())
        if fits:
            self.model.holds.append(hold)
            fits = self.model.sound()
            if not fits:
                self.model.holds.pop()
        asked = event("h", EntryKind.HOLD, (debit(source + 1, amount), credit(goal + 1, amount)), expires_ns=expires)
        self.record(asked, expected=fits)
        return hold if fits else multiple()

    @rule(hold=holds, amount=amounts, final=st.booleans())
    def capture(self, hold, amount, final):
        fits = self.is_open(hold) and 0 < amount <= hold["amount"] - hold["captured"]
        legs = (debit(hold["from"] + 1, amount),)
        self.record(event("c", EntryKind.CAPTURE, legs, ref_seq=hold["seq"], final=final), expected=fits)
        if fits:
            hold["captured"] += amount
            self.model.moved += [(hold["from"], -amount), (hold["to"], amount)]
            if final or hold["captured"] == hold["amount"]:
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
        """Balance and reserved amount are sums of what moved; every floor is kept."""
        assert self.model.sound()
        for number, account in self.state.accounts.items():
            assert (account.balance, account.debits_held) == (
                self.model.balance(number - 1),
                self.model.held(number - 1),
            )

    @invariant()
    def a_hold_is_the_sum_of_its_ends(self):
        """Captured, given back and remaining make the amount; a closed hold stays closed."""
        for told_of in self.model.holds:
            hold = self.state.holds[told_of["seq"]]
            assert hold.status == (told_of["end"] or HoldStatus.OPEN)
            assert sum(line.remaining for line in hold.lines) == (
                0 if told_of["end"] else told_of["amount"] - told_of["captured"]
            )


Ledger.TestCase.settings = settings(stateful_step_count=30)
TestLedger = Ledger.TestCase
