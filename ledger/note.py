"""Signed notes: a text and lines of signatures below it (c2sp.org/signed-note)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ledger.checkpoint import Checkpoint
from ledger.errors import Kind, LedgerError
from ledger.lines import decode64, encode64
from ledger.vkey import VerifierKey, is_key_name

NOTE_BYTES_MAX = 1_000_000
SIGNATURES_MAX = 100
"""The specification asks for 16 at least."""

_ID_BYTES = 4


class SignatureLine(NamedTuple):
    """One signature of a note: who, and what follows the four bytes of the key id."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"— {self.name} {encode64(self.key_id + self.signature)}\n"

    @classmethod
    def parse(cls, line: str) -> SignatureLine:
        """Signature of a line without its end.

        Raises:
            LedgerError: `note-malformed`.

        """
        try:
            dash, name, encoded = line.split(" ")
            data = decode64(encoded)
        except ValueError as error:
            raise _malformed("签名行不合规", "a signature line is not — name base64") from error
        if dash != "—" or not is_key_name(name) or len(data) <= _ID_BYTES:
            raise _malformed("签名行不合规", "a signature line is not — name base64")
        return cls(name, data[:_ID_BYTES], data[_ID_BYTES:])


class Signed(NamedTuple):
    """A signature that holds: whose, and for a cosignature when (POSIX seconds, else 0)."""

    key: VerifierKey
    time_s: int
    line: SignatureLine


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and its signatures. Not to be believed before `verify`."""

    text: str
    signatures: tuple[SignatureLine, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """Note of its bytes.

        Raises:
            LedgerError: `note-malformed`: too long, not UTF-8, control characters, no or too many signatures.

        """
        if len(data) > NOTE_BYTES_MAX:
            raise _malformed(f"超过 {NOTE_BYTES_MAX} 字节", f"more than {NOTE_BYTES_MAX} bytes")
        try:
            whole = data.decode()
        except UnicodeDecodeError as error:
            raise _malformed("不是 UTF-8", "not UTF-8") from error
        if any(char < " " and char != "\n" for char in whole):
            raise _malformed("含控制字符", "it has control characters")
        text, blank, below = whole.rpartition("\n\n")
        *lines, end = below.split("\n")
        if not blank or end or not 0 < len(lines) <= SIGNATURES_MAX:
            raise _malformed(
                f"正文、空行之后应有 1 至 {SIGNATURES_MAX} 行签名，每行以换行结束",
                f"after the text and a blank line 1 to {SIGNATURES_MAX} signature lines are needed, each ended",
            )
        return cls(text + "\n", tuple(map(SignatureLine.parse, lines)))

    def sign(self, key: VerifierKey, signer: Callable[[bytes], bytes], time_s: int = 0) -> Note:
        """The same note with one more signature. A cosignature states the POSIX time `time_s`."""
        line = SignatureLine(key.name, key.key_id, key.sign(self.text, signer, time_s))
        return Note(self.text, (*self.signatures, line))

    def verify(self, keys: Iterable[VerifierKey]) -> tuple[Signed, ...]:
        """The signatures of known keys, one a key; lines of others are passed over, whatever their type.

        Raises:
            LedgerError: `note-signature` where a known key's signature does not hold, `note-unsigned` where there is
                none of a known key.

        """
        known: dict[tuple[str, bytes], list[VerifierKey]] = {}
        for key in dict.fromkeys(keys):
            known.setdefault((key.name, key.key_id), []).append(key)
        found: dict[VerifierKey, Signed] = {}
        for line in self.signatures:
            for key in known.get((line.name, line.key_id), ()):
                time_s = key.verify(self.text, line.signature)
                if time_s is None:
                    raise LedgerError(
                        "note-signature",
                        f"{line.name} 的签名不符",
                        f"the signature of {line.name} does not hold",
                        kind=Kind.PROOF,
                    )
                found.setdefault(key, Signed(key, time_s, line))
        if not found:
            raise LedgerError(
                "note-unsigned",
                f"检查点没有已知密钥的签名：日志名 {self.text.partition(chr(10))[0]} 或签名行不符",
                "the checkpoint is signed by none of the known keys: the log's name or a signature line differs",
                kind=Kind.PROOF,
            )
        return tuple(found.values())


def open_checkpoint(note: Note, keys: Iterable[VerifierKey]) -> Checkpoint:
    """Checkpoint of a note that a key of the log's own name has signed.

    Raises:
        LedgerError: `note-signature`, `note-unsigned`, `checkpoint-malformed`.

    """
    origin = note.text.partition("\n")[0]
    note.verify(key for key in keys if key.name == origin)
    return Checkpoint.parse(note.text)


def _malformed(zh: str, en: str) -> LedgerError:
    return LedgerError("note-malformed", f"签名文本不合规：{zh}", f"malformed note: {en}", kind=Kind.PROOF)
