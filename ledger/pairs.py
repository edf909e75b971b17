"""Many plain postings of one request: what `ledger.apply.apply` would do with each, in half the time.

They share all that does not differ from one account to the next, so only the rest is checked and built for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ledger.apply import apply
from ledger.entry import NO_SEQ, Entry, EntryKind, Event, Leg
from ledger.leaf import MAGIC, SCHEMA, TWO_LEGS, TWO_LEGS_BYTES
from ledger.mac import mac
from ledger.moves import transfer
from ledger.refusal import Refusal
from ledger.state import State

_new = tuple.__new__
"""Makes named tuples in a third of the time of their constructor; the fields stand in order."""
_POST = int(EntryKind.POST)


class Posting(NamedTuple):
    """What one entry of a series has of its own: id (16 bytes), salt, payload, and a debit and a credit, or other legs."""

    event_id: bytes
    salt: bytes
    payload: bytes
    legs: tuple[Leg, ...]


class Refused(NamedTuple):
    """The posting of a series that was refused, and why."""

    event: Event
    refusal: Refusal


def post_series(
    state: State, model: Event, postings: Iterable[Posting], recorded_ns: int, recorded: list[tuple[Entry, Event]]
) -> Refused | None:
    """Apply postings one after another and add them to `recorded`; the first that is refused ends it.

    Each is `model` (a POST dated when it is recorded) with id, salt, payload and legs of its own. What was applied before a
    refusal stays until the caller takes it back.
    """
    if model != Event(model.kind, b"", model.digest, ruleset=model.ruleset, actor=model.actor):
        raise ValueError("a series shares kind, digest, rules and actor, and nothing else")
    _, _, digest, _, dated, _, ruleset, actor, _, _, *rest = model
    ordinary = (model.kind, len(digest), len(ruleset), len(actor)) == (_POST, 32, 32, 8)
    undo, take_back, pack, add = state.undo, state.take_back_entry, TWO_LEGS.pack, recorded.append
    for event_id, salt, payload, legs in postings:
        event = _new(Event, (model.kind, event_id, digest, legs, dated, NO_SEQ, ruleset, actor, salt, payload, *rest))
        seq, last_ns = state.size, state.last_ns
        now = recorded_ns if recorded_ns > last_ns else last_ns + 1
        plain = ordinary and len(legs) == 2 and payload and len(event_id) == 16 and now >= state.closed_ns
        moved = transfer(state, legs[0], legs[1]) if plain else None
        if moved is None:
            entry = apply(state, event, recorded_ns)
            if isinstance(entry, Refusal):
                return Refused(event, entry)
            add((entry, event))
            continue
        (_, p1, a1, s1, l1, m1, v1, d1, c1, g1, h1), (_, p2, a2, s2, l2, m2, v2, d2, c2, g2, h2) = moved
        committed = mac(salt, payload)
        leaf = pack(
            MAGIC, _POST, 0, SCHEMA, 0, seq, now, now, event_id, digest, NO_SEQ, ruleset, actor, TWO_LEGS_BYTES,
            p1, a1, s1, l1, m1, v1, d1, c1, g1, h1, p2, a2, s2, l2, m2, v2, d2, c2, g2, h2, committed,
        )  # fmt: skip
        undo.append((take_back, seq, last_ns))
        state.size, state.last_ns = seq + 1, now
        fields = (seq, _POST, event_id, digest, now, now, NO_SEQ, ruleset, actor, moved, committed, 0, leaf, False)
        add((_new(Entry, fields), event))
    return None
