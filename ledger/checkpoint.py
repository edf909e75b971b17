"""The head of a log as a text that can be signed (c2sp.org/tlog-checkpoint)."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.errors import Kind, LedgerError
from ledger.lines import HASH_BYTES, SIZE_MAX, decode_hash, decode_size, encode64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself at one moment: its name, how many leaves it has, and its tree head."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        assert self.origin and "\n" not in self.origin  # noqa: PT018
        assert 0 <= self.size <= SIZE_MAX and len(self.root) == HASH_BYTES  # noqa: PT018

    @property
    def text(self) -> str:
        """The three lines that are signed. Extension lines are never written: nobody audits them."""
        return f"{self.origin}\n{self.size}\n{encode64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Checkpoint of a note's text; extension lines, which must not be empty, are passed over.

        Raises:
            LedgerError: `checkpoint-malformed`.

        """
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise _malformed()
        try:
            return cls(lines[0], decode_size(lines[1]), decode_hash(lines[2]))
        except ValueError as error:
            raise _malformed() from error


def _malformed() -> LedgerError:
    return LedgerError(
        "checkpoint-malformed",
        "检查点须为三行以上：日志名、叶子数、base64 的根，每行以换行结束",
        "a checkpoint has three lines or more, each ended: the log's name, its size and its root in base64",
        kind=Kind.PROOF,
    )
