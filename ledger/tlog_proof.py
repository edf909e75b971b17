"""A receipt that can be checked offline: leaf index, inclusion path and signed checkpoint (c2sp.org/tlog-proof)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ledger.checkpoint import Checkpoint
from ledger.errors import Kind, LedgerError
from ledger.lines import decode64, decode_path, decode_size, encode64
from ledger.note import Note
from ledger.policy import Policy
from ledger.proof import verify_inclusion

_Read = TypeVar("_Read")
_FIRST_LINE = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Contents of a `.tlog-proof` file. `extra` is not authenticated by anything; None where there is none."""

    index: int
    path: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None

    def to_bytes(self) -> bytes:
        """Bytes of the file."""
        lines = [_FIRST_LINE]
        if self.extra is not None:
            lines.append(f"extra {encode64(self.extra)}")
        lines += [f"index {self.index}", *map(encode64, self.path)]
        return "\n".join([*lines, "", str(self.note)]).encode()

    @classmethod
    def parse(cls, data: bytes) -> TlogProof:
        """Contents of a file.

        Raises:
            LedgerError: `receipt-malformed`, or `note-malformed` for the checkpoint.

        """
        head, _, note = data.partition(b"\n\n")
        lines = head.decode("ascii", "replace").split("\n")  # what is not ASCII fits nowhere below
        if lines[0] != _FIRST_LINE:
            raise _malformed(1, _FIRST_LINE)
        extra, place = None, 1
        if lines[1:] and lines[1].startswith("extra "):
            extra, place = _read(2, "extra BASE64", lambda: decode64(lines[1][6:])), 2
        word, _, index = lines[place].partition(" ") if lines[place:] else ("", "", "")
        if word != "index":
            raise _malformed(place + 1, "index NUMBER")
        at = _read(place + 1, "index NUMBER", lambda: decode_size(index))
        for number, line in enumerate(lines[place + 1 :], start=place + 2):
            _read(number, "BASE64 (32 bytes)", lambda: decode_path([line]))  # noqa: B023 -- called at once
        path = _read(len(lines), "<= 63 x BASE64", lambda: decode_path(lines[place + 1 :]))
        return cls(at, path, Note.parse(note), extra)

    def verify(self, leaf_hash: bytes, policy: Policy) -> Checkpoint:
        """Checkpoint under which `leaf_hash` is the leaf `index`, signed as the policy asks.

        Raises:
            LedgerError: what `Policy.accept` raises, or `proof-invalid`.

        """
        checkpoint = policy.accept(self.note)
        verify_inclusion(leaf_hash, self.index, checkpoint.size, self.path, checkpoint.root)
        return checkpoint


def _read(line: int, wanted: str, decode: Callable[[], _Read]) -> _Read:
    try:
        return decode()
    except ValueError as error:
        raise _malformed(line, wanted) from error


def _malformed(line: int, wanted: str) -> LedgerError:
    """Says which line is the first that differs from the form, and what should stand there."""
    return LedgerError(
        "receipt-malformed",
        f"收据第 {line} 行不合 c2sp.org/tlog-proof@v1 的写法，应为 {wanted}",
        f"line {line} of the receipt is not as c2sp.org/tlog-proof@v1 has it: {wanted}",
        kind=Kind.PROOF,
    )
