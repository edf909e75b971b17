"""When each witness of the trust policy cosigned last, as the kept checkpoints have it; lines that do not hold are none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ledger.errors import LedgerError
from ledger.log_store import SignedHead
from ledger.note import Note
from ledger.policy import Policy


class Cosigner(NamedTuple):
    """A witness: its name in the policy, that of its key, the largest kept head that it cosigned, and when (POSIX seconds); 0 for none."""

    name: str
    key: str
    size: int
    time_s: int


def cosigners(policy: Policy | None, heads: Iterable[SignedHead]) -> list[Cosigner]:
    """Every witness of a policy, in its order; none without a policy."""
    if policy is None:
        return []
    found = {name: Cosigner(name, trusted.key.name, 0, 0) for name, trusted in policy.witnesses.items()}
    for head in heads:
        note = Note.parse(head.note.encode())
        for name, trusted in policy.witnesses.items():
            try:
                signed = note.verify([trusted.key])
            except LedgerError:  # this one has not cosigned it
                continue
            if head.size >= found[name].size:
                found[name] = found[name]._replace(size=head.size, time_s=signed[0].time_s)
    return list(found.values())
