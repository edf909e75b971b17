"""Ledgers as text that an auditor can read, played against the pure state or a journal on a real database.

One step a line; `# …` is a comment, and a step that must be refused ends with `! code`:

    open programme floor 0                 an account of yuan; `open flops PFLOPS.h` counts compute
    fund → programme 100                   a posting of two legs
    v1 30 + self-pay 12 → centre 42        a posting of several
    hold h1: v1 → centre 25 until 99       reserves; without `until` it never expires; lines are parted by `;`
    capture h1 10 / capture h1 10 final / release h1 / expire h1          amounts of several lines: `10 + 0`
    p1: v1 → centre 5                      a posting that can be named
    reverse p1 / reverse p1: centre → v1 2 takes back all that is left of it, or a part
    limit v1 floor 0 ceiling 9 / freeze v1 / legal-hold v1 / free v1 / close v1 / mark v1
    v1 → centre 5 dated 7 late             effective at 7 ns; `late`: in the open period if that one is closed
    close period 10                        nothing more may be dated before 10 ns
    asset GPU.s:H100=16/3 / erase 7        registers an asset; drops the payload of an entry
    note                                   an entry without legs
    at 50                                  the clock shows 50 ns from here on
    v1 has 40, 15 available                a check: balance and what can still be spent
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from hashlib import sha256

from ledger.amount import ASSETS, Asset
from ledger.apply import apply
from ledger.entry import (
    NO_SEQ,
    Entry,
    EntryKind,
    Event,
    Layer,
    Leg,
    Limits,
    Opening,
    Restriction,
    Side,
    asset_payload,
    credit,
    opening_payload,
)
from ledger.journal import Journal
from ledger.refusal import Refusal
from ledger.state import Account, Original, State

OPEN = re.compile(r"open (\S+)(?: (CNY|PFLOPS\.h))?(?: floor (-?\d+))?(?: ceiling (-?\d+))?")
HOLD = re.compile(r"hold (\S+): (.+?)(?: until (\d+))?")
CAPTURE = re.compile(r"capture (\S+) (-?\d+(?: \+ -?\d+)*)( final)?")
REVERSE = re.compile(r"reverse (\S+?)(?:: (.+))?")
NAMED = re.compile(r"(\w+): (.+→.+)")
LIMIT = re.compile(r"limit (\S+)(?: floor (-?\d+))?(?: ceiling (-?\d+))?")
STATUS = re.compile(r"(free|freeze|close|legal-hold) (\S+)")
PERIOD = re.compile(r"close period (\d+)")
DATED = re.compile(r"(.+) dated (-?\d+)( late)?")
BITS = {"free": 0, "freeze": Restriction.FROZEN, "legal-hold": Restriction.LEGAL_HOLD, "close": Restriction.CLOSED}
UNHOLD = re.compile(r"(release|expire) (\S+)")
ASSET = re.compile(r"asset (\S+)=(\d+)/(\d+)")
AT = re.compile(r"at (\d+)")
HAS = re.compile(r"(\S+) has (-?\d+)(?:, (-?\d+) available)?")
SIDE = re.compile(r"(\S+?)(?: (-?\d+))?")


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def event(text: str, kind: EntryKind = EntryKind.NOTE, legs: tuple[Leg, ...] = (), **fields) -> Event:
    """An event whose id and digest derive from a text, so that the same text is the same request."""
    return Event(kind, digest(text)[:16], digest(text), legs, **fields)


def post(text: str, *legs: Leg, **fields) -> Event:
    return event(text, EntryKind.POST, legs, **fields)


def payload_of(asked: Event) -> bytes | None:
    """What an event must commit to, so that a verifier knows the rules that it sets."""
    if asked.opening:
        return opening_payload(asked.opening.name, asked.opening.limits)
    if asked.asset:
        return asset_payload(asked.asset)
    return f"{asked.limits}\nreason".encode() if asked.kind == EntryKind.LIMIT else None


def seen(state: State) -> tuple:
    """Everything an event can change."""
    accounts = {number: astuple(account) for number, account in state.accounts.items()}
    holds = {seq: astuple(hold) for seq, hold in state.holds.items()}
    originals = {
        seq: (dict(one.moved), {k: v for k, v in one.reversed.items() if v}) for seq, one in state.originals.items()
    }
    period = state.closed_ns, state.closed_seq
    return (
        state.size,
        state.last_ns,
        state.next_account,
        dict(state.numbers),
        accounts,
        holds,
        originals,
        period,
        dict(state.assets),
    )


def lines(text: str) -> Iterator[tuple[str, str]]:
    """Steps and the refusals they expect."""
    for line in text.splitlines():
        step, _, refusal = line.partition("#")[0].partition("!")
        if step.strip():
            yield " ".join(step.split()), refusal.strip()


@dataclass
class Book:
    """What the names in a text stand for, and what has been recorded."""

    state: State = field(default_factory=State)
    now_ns: int = 1
    numbers: dict[str, int] = field(default_factory=dict)
    holds: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    posts: dict[str, int] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    payloads: dict[int, bytes | None] = field(default_factory=dict)

    def play(self, text: str) -> Book:
        """Play a text against the pure state machine; every step must turn out as written."""
        for step, refusal in lines(text):
            if not self.look(step):
                self.prepare(step)
                asked = self.event(step)
                outcome = apply(self.state, asked, self.now_ns)
                assert (outcome.value if isinstance(outcome, Refusal) else "") == refusal, step
                if isinstance(outcome, Entry):
                    self.payloads[outcome.seq] = payload_of(asked)
                    self.note(step, outcome)
        return self

    def prepare(self, step: str) -> None:
        """Make the posting known that a step takes back, as a store would."""
        match = REVERSE.fullmatch(DATED.sub(r"\1", step))
        seq = self.posts.get(match[1], NO_SEQ) if match else NO_SEQ
        if seq != NO_SEQ and seq not in self.state.originals:
            [entry] = [entry for entry in self.entries if entry.seq == seq]
            moved = {(leg.account, leg.side): leg.amount for leg in entry.legs if leg.layer == Layer.POSTED}
            self.state.originals[seq] = Original(moved)

    def look(self, step: str) -> bool:
        """Whether a step records nothing: it moves the clock, or says what an account must have."""
        if match := AT.fullmatch(step):
            self.now_ns = int(match[1])
        elif match := HAS.fullmatch(step):
            account = self.account(match[1])
            assert account.balance == int(match[2]), f"{step}: {account}"
            assert match[3] is None or account.available == int(match[3]), f"{step}: {account}"
        return match is not None

    def account(self, name: str) -> Account:
        return self.state.accounts[self.numbers[name]]

    def event(self, step: str) -> Event:
        """The event a step asks for; its id is new, whatever was asked before."""
        if match := DATED.fullmatch(step):
            return self.event(match[1])._replace(effective_ns=int(match[2]), late=bool(match[3]))
        key = f"{self.now_ns} {len(self.entries)} {step}"
        if match := OPEN.fullmatch(step):
            name, asset, *bounds = match.groups()
            limits = Limits(*(bound and int(bound) for bound in bounds))
            return event(key, EntryKind.OPEN, opening=Opening(name, digest(name)[:16], ASSETS[asset or "CNY"], limits))
        if match := HOLD.fullmatch(step):
            expires = match[3] and int(match[3])
            return event(key, EntryKind.HOLD, self.lines(match[2]), expires_ns=expires)
        if match := CAPTURE.fullmatch(step):
            seq, debited = self.holds.get(match[1], (NO_SEQ, ("",)))
            amounts = [int(amount) for amount in match[2].split(" + ")]
            names = [*debited, *[""] * len(amounts)]
            legs = [
                Leg(self.numbers.get(name, 0), Side.DEBIT, amount) for name, amount in zip(names, amounts, strict=False)
            ]
            return event(key, EntryKind.CAPTURE, tuple(legs), ref_seq=seq, final=bool(match[3]))
        if match := UNHOLD.fullmatch(step):
            seq, _ = self.holds.get(match[2], (NO_SEQ, ()))
            return event(key, EntryKind[match[1].upper()], ref_seq=seq)
        if step in {"genesis", "note"}:
            return event(key, EntryKind[step.upper()])
        return self.rule(key, step) or self.posting(key, step)

    def rule(self, key: str, step: str) -> Event | None:
        """An event about what accounts and periods allow."""
        if match := PERIOD.fullmatch(step):
            return event(key, EntryKind.CLOSE_PERIOD, effective_ns=int(match[1]))
        if match := LIMIT.fullmatch(step):
            limits = Limits(*(bound and int(bound) for bound in match.groups()[1:]))
            return event(key, EntryKind.LIMIT, self.named(match[1]), limits=limits)
        if match := STATUS.fullmatch(step):
            return event(key, EntryKind.STATUS, self.named(match[2]), restriction=int(BITS[match[1]]))
        if step.startswith("mark "):
            return event(key, EntryKind.MARK, self.named(step[5:]))
        if step.startswith("erase "):
            return event(key, EntryKind.ERASE, ref_seq=int(step[6:]))
        if match := ASSET.fullmatch(step):
            return event(key, EntryKind.ASSET, asset=Asset(match[1], int(match[2]), int(match[3])))
        return None

    def named(self, name: str) -> tuple[Leg, ...]:
        return (credit(self.numbers.get(name, 0), 0),)

    def posting(self, key: str, step: str) -> Event:
        """A posting or its reversal."""
        if match := REVERSE.fullmatch(step):
            seq, legs = self.posts.get(match[1], NO_SEQ), self.legs(match[2]) if match[2] else ()
            return event(key, EntryKind.REVERSE, legs, ref_seq=seq)
        if match := NAMED.fullmatch(step):
            step = match[2]
        return post(key, *self.legs(step))

    def lines(self, text: str) -> tuple[Leg, ...]:
        """Lines of a hold: `v1 → centre 5; quota → used 2`."""
        return tuple(leg for line in text.split(";") for leg in self.legs(line.strip()))

    def legs(self, text: str) -> tuple[Leg, ...]:
        """`a → b 5`, or amounts on both sides: `a 3 + b 2 → c 5`."""
        debits, _, credits_ = text.partition("→")
        total = text.rsplit(maxsplit=1)[-1]
        found = []
        for side, part in ((Side.DEBIT, debits), (Side.CREDIT, credits_)):
            for item in filter(None, map(str.strip, part.split("+"))):
                match = SIDE.fullmatch(item)
                assert match, f"not an account and its amount: {item!r}"
                found.append(Leg(self.numbers.get(match[1], 0), side, int(match[2] or total)))
        return tuple(found)

    def note(self, step: str, entry: Entry) -> None:
        """Remember what a step recorded and named."""
        self.entries.append(entry)
        if match := OPEN.fullmatch(step):
            self.numbers[match[1]] = entry.legs[0].account
        elif match := HOLD.fullmatch(step):
            self.holds[match[1]] = (entry.seq, tuple(line.split()[0] for line in match[2].split(";")))
        elif (match := NAMED.fullmatch(step)) or (match := re.fullmatch(r"(?:(\w+): )?.*", step)):
            self.posts[match[1] or step] = entry.seq


async def play(journal: Journal, text: str, book: Book | None = None) -> Book:
    """Play a text through a journal, one request a step; refusals are for the pure state to show."""
    book = book or Book()
    for step, _ in lines(text):
        if match := OPEN.fullmatch(step):
            limits = Limits(match[3] and int(match[3]), match[4] and int(match[4]))
            wanted = (match[1], ASSETS[match[2] or "CNY"], limits)
            opened = await journal.transact(lambda tx, wanted=wanted: tx.open([wanted]))
            book.numbers[match[1]] = opened[match[1]].number
            continue
        if match := ASSET.fullmatch(step):
            await journal.transact(lambda tx, code=match[1]: tx.asset(code))
            continue
        if match := HAS.fullmatch(step):
            found = await journal.transact(lambda tx, name=match[1]: tx.accounts([name]))
            book.state.add(found[match[1]])
        if not book.look(step):
            asked = book.event(step)
            if payload := payload_of(asked):
                asked = asked._replace(salt=digest(step), payload=payload)
            book.note(step, *(await journal.submit(asked)))
    return book
