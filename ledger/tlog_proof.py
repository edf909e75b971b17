"""A receipt that can be checked offline: leaf index, inclusion path and signed checkpoint (c2sp.org/tlog-proof)."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.checkpoint import Checkpoint
from ledger.errors import Kind, LedgerError
from ledger.lines import decode64, decode_path, decode_size, encode64
from ledger.note import Note
from ledger.policy import Policy
from ledger.proof import verify_inclusion

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
        try:
            first, *lines = head.decode("ascii").split("\n")
            extra = decode64(lines.pop(0)[6:]) if lines[0].startswith("extra ") else None
            word, index = lines.pop(0).split(" ")
            place, path = decode_size(index), decode_path(lines)
        except (ValueError, IndexError) as error:
            raise _malformed() from error
        if (first, word) != (_FIRST_LINE, "index"):
            raise _malformed()
        return cls(place, path, Note.parse(note), extra)

    def verify(self, leaf_hash: bytes, policy: Policy) -> Checkpoint:
        """Checkpoint under which `leaf_hash` is the leaf `index`, signed as the policy asks.

        Raises:
            LedgerError: what `Policy.accept` raises, or `proof-invalid`.

        """
        checkpoint = policy.accept(self.note)
        verify_inclusion(leaf_hash, self.index, checkpoint.size, self.path, checkpoint.root)
        return checkpoint


def _malformed() -> LedgerError:
    return LedgerError(
        "receipt-malformed",
        "凭据不是 c2sp.org/tlog-proof@v1：应有 index 行、包含证明、空行和检查点",
        "the receipt is not a c2sp.org/tlog-proof@v1: index, inclusion proof, a blank line and the checkpoint are needed",
        kind=Kind.PROOF,
    )
