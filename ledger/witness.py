"""A witness of other logs, and what a log asks of one (c2sp.org/tlog-witness, add-checkpoint).

A witness cosigns a checkpoint only if it continues the last one that it cosigned for that log, so no two of its
cosignatures are for two histories. It decides here; its caller keeps the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ledger.checkpoint import Checkpoint
from ledger.errors import Kind, LedgerError
from ledger.lines import decode_path, decode_size, encode64
from ledger.note import Note, SignatureLine
from ledger.proof import verify_consistency
from ledger.tree import EMPTY_ROOT
from ledger.vkey import VerifierKey

TEXT = "text/plain; charset=utf-8"
SIZE_TYPE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request: the size the witness is thought to have cosigned last, the proof from there, the new checkpoint."""

    old_size: int
    path: tuple[bytes, ...]
    note: Note

    def to_bytes(self) -> bytes:
        """Body of the request."""
        return "\n".join([f"old {self.old_size}", *map(encode64, self.path), "", str(self.note)]).encode()

    @classmethod
    def parse(cls, body: bytes) -> AddCheckpoint:
        """Request of a body.

        Raises:
            LedgerError: `witness-request`, or `note-malformed` for the checkpoint.

        """
        head, _, note = body.partition(b"\n\n")
        try:
            first, *lines = head.decode("ascii").split("\n")
            word, old = first.split(" ")
            size, path = decode_size(old), decode_path(lines)
        except ValueError as error:
            raise _malformed() from error
        if word != "old":
            raise _malformed()
        return cls(size, path, Note.parse(note))


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, and for a 200 what must be on record before it is sent.

    `record` replaces the log's record only if that is still the one that was decided on: in one transaction, or two
    answers could cross and take the witness back. `note` is what a monitor is shown: signed by the log and by us.
    """

    status: int
    body: bytes = b""
    content_type: str = TEXT
    record: Checkpoint | None = None
    note: Note | None = None


Latest = Callable[[str], Checkpoint | None]
"""The last checkpoint that was cosigned for a log, by the log's name."""

Cosign = Callable[[Note], Note]
"""Adds the witness's cosignatures to a note, each with the present time, which is not 0."""


def answer(body: bytes, logs: Mapping[str, Iterable[VerifierKey]], latest: Latest, cosign: Cosign) -> Answer:
    """Answer to the body of an add-checkpoint request, by a witness that knows the keys of these logs by their names."""
    try:
        request = AddCheckpoint.parse(body)
        new = Checkpoint.parse(request.note.text)
    except LedgerError as error:
        return _refusal(400, error.zh, error.en)
    if new.origin not in logs:
        return _refusal(404, f"不认识日志 {new.origin}", f"the log {new.origin} is not known")
    keys = tuple(logs[new.origin])
    try:
        # A checkpoint may be signed by a key whose name is not the log's: the operator has said which are the log's.
        signed = request.note.verify(keys)
    except LedgerError as error:
        return _refusal(403, error.zh, error.en)
    refusal = _check(request, new, latest(new.origin))
    if refusal is not None:
        return refusal
    plain = Note(request.note.text, tuple(one.line for one in signed))
    note = cosign(plain)
    lines = "".join(map(str, note.signatures[len(plain.signatures) :]))
    return Answer(200, lines.encode(), record=new, note=note)


def _check(request: AddCheckpoint, new: Checkpoint, last: Checkpoint | None) -> Answer | None:
    """What is wrong with the step from the last checkpoint to the new one, in the order of the specification."""
    old = Checkpoint(new.origin, 0, EMPTY_ROOT) if last is None else last
    if request.old_size > new.size:
        return _refusal(400, "旧的叶子数大于新的", "the old size is above the size of the checkpoint")
    if request.old_size != old.size:
        return Answer(409, f"{old.size}\n".encode(), SIZE_TYPE)
    if new.size == 0 and new.root != EMPTY_ROOT:
        return _refusal(422, "空日志的根不是空串的哈希", "the root of an empty log is not the hash of nothing")
    if old.size == 0:
        return _refusal(422, "从空树起不需要证明", "no proof belongs to an empty tree") if request.path else None
    try:
        verify_consistency(old.size, new.size, request.path, old.root, new.root)
    except LedgerError as error:
        return _refusal(422, error.zh, error.en)
    return None


def read_cosignatures(body: bytes, note: Note, keys: Iterable[VerifierKey]) -> tuple[SignatureLine, ...]:
    """The lines of a witness's answer that hold for the note that was sent, of the keys that are known as the witness's.

    Raises:
        LedgerError: `note-malformed`, `note-signature`, `note-unsigned`, or `witness-answer` for a signature
            that states no time.

    """
    # Text that was slipped in would follow a blank line, so it is no checkpoint, and no cosignature holds for it.
    signed = Note.parse(f"{note.text}\n".encode() + body).verify(keys)
    if not all(one.time_s for one in signed):
        raise LedgerError(
            "witness-answer",
            "见证方的副署没有时间",
            "the witness's cosignature states no time",
            kind=Kind.PROOF,
        )
    return tuple(one.line for one in signed)


def _refusal(status: int, zh: str, en: str) -> Answer:
    return Answer(status, f"{zh}\n{en}\n".encode())


def _malformed() -> LedgerError:
    return LedgerError(
        "witness-request",
        "请求应为 old 行、一致性证明、空行和检查点",
        "the request is an old line, a consistency proof, a blank line and a checkpoint",
    )
