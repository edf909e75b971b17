"""Lines of a batch: each says what one entry of the ledger makes due to a payee; a correction is a negative line."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

import cbor2

UNITS_PER_FEN = 10_000
"""Yuan have six decimals in the ledger, two at a bank."""


class Line(NamedTuple):
    """What an entry (`seq`) makes due for a voucher, in units of yuan.

    `jti` is empty for compute given in kind and for claims without a voucher. `part` is empty for all of the entry that was
    not in dispute when its batch was made, else the dispute that kept this part back, or the claim that the line pays.
    `kind` is `redeemed`, `corrected`, `refunded`, `released` or `claim`.
    """

    seq: int
    jti: str
    part: str
    units: int
    kind: str

    @property
    def place(self) -> tuple[int, str, str]:
        """What must be in one batch alone."""
        return self.seq, self.jti, self.part


class Sum(NamedTuple):
    """What lines come to: net units, what is paid now (whole fen), and what is carried to the next batch."""

    net: int
    carried_in: int
    pay: int

    @property
    def carried_out(self) -> int:
        """Less than a fen; negative never."""
        return self.net + self.carried_in - self.pay


def add_up(lines: Iterable[Line], carried_in: int) -> Sum:
    """The sum of lines and of what the batch before left over, floored to the fen."""
    net = sum(line.units for line in lines)
    return Sum(net, carried_in, (net + carried_in) // UNITS_PER_FEN * UNITS_PER_FEN)


def digest_of(lines: Iterable[Line]) -> bytes:
    """SHA-256 over the lines in order of their places: what the log commits to."""
    digest = sha256()
    for line in sorted(lines):
        digest.update(cbor2.dumps(list(line), canonical=True))
    return digest.digest()
