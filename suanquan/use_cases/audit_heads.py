"""Signed heads of the audit log: each continues the one before, so that what was recorded cannot be rewritten unseen.

They are checkpoints (c2sp.org/tlog-checkpoint) by the keys of the ledger's log, under a name of their own: a witness that knows
the name may watch them like any log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ledger.checkpoint import Checkpoint
from ledger.errors import DomainError, Kind
from ledger.note import Note, SignatureLine, open_checkpoint
from ledger.proof import consistency_path, read_since
from ledger.sql import Connection
from ledger.tree import Frontier
from ledger.vkey import VerifierKey
from suanquan.access.trail import Checked
from suanquan.clock import ClockNs
from suanquan.db import trail
from suanquan.db.database import Database
from suanquan.db.trail import SignedHead
from suanquan.errors import ServiceError
from suanquan.home import write_secret
from suanquan.note_keys import NoteKeys
from suanquan.service import Service
from suanquan.use_cases.log import Log

SUFFIX = "/audit"


@dataclass(frozen=True, slots=True)
class AuditHeads:
    """The heads of a home's audit log. `keys` is None without the passphrase: then nothing is signed."""

    database: Database
    file: Path
    verifiers: tuple[VerifierKey, ...]
    keys: NoteKeys | None
    clock_ns: ClockNs

    async def sign(self) -> SignedHead | None:
        """Sign the head if the log has grown since the last; None without keys, or while nothing was recorded.

        The file is written before the head is in the database: whatever was signed is known outside it.

        Raises:
            ServiceError: `audit-rolled-back`: the rows do not continue what was signed before.

        """
        if self.keys is None:
            return None
        async with self.database.read() as conn:
            newest = await trail.newest_head(conn)
            size, _ = await _head(conn)
            if size == (newest.size if newest else 0):
                return newest
        async with self.database.write() as conn:
            newest = await trail.newest_head(conn)
            tree = await _continued(conn, newest, self._kept())
            now_us = self.clock_ns() // 1000
            note = self.keys.sign_checkpoint(Checkpoint(self.keys.name, tree.size, tree.root()), now_us // 1_000_000)
            signed = SignedHead(tree.size, tree.root(), tree.to_bytes(), now_us, str(note))
            write_secret(self.file, signed.note.encode())
            await trail.add_head(conn, signed)
        return signed

    def _kept(self, file: Path | None = None) -> Checkpoint | None:
        file = file or self.file
        try:
            return open_checkpoint(Note.parse(file.read_bytes()), self.verifiers)
        except FileNotFoundError:
            return None
        except DomainError as error:
            raise _rolled_back(f"{file.name}: {error.en}") from error

    @property
    def cosigned(self) -> Path:
        """The last head that a witness cosigned, with the cosignatures."""
        return self.file.with_name(self.file.name + "-cosigned")

    async def prove(self, old: int, head: SignedHead) -> list[bytes]:
        """Hashes that show a signed head to continue the one of an earlier size (RFC 6962 §2.1.2).

        Raises:
            ServiceError: `audit-rolled-back`: no head of that size was signed here.

        """
        if not 0 < old < head.size:
            return []
        async with self.database.read() as conn:
            earlier = await trail.head_at(conn, old)
            if earlier is None:
                raise _rolled_back(f"no head of {old} rows was signed here")
            leaves = [row.leaf() async for row in trail.stream(conn, old) if row.seq < head.size]
        tree = Frontier.from_bytes(earlier.size, earlier.nodes)
        return consistency_path(old, head.size, read_since(tree, leaves))

    def keep_cosigned(self, head: SignedHead, lines: Iterable[SignatureLine]) -> None:
        """Add cosignatures of a head to those that are known of it; a newer head takes the place of an older one."""
        note, lines = Note.parse(head.note.encode()), tuple(lines)
        with contextlib.suppress(FileNotFoundError, DomainError):
            kept = Note.parse(self.cosigned.read_bytes())
            note = kept if kept.text == note.text else note
        others = (line for line in note.signatures if all(line[:2] != one[:2] for one in lines))
        write_secret(self.cosigned, str(Note(note.text, (*others, *lines))).encode())

    async def verify(self, at: int | None = None) -> Checked:
        """Recompute the whole log and compare it with every head that was signed; `at` asks for the root at a size."""
        known: dict[int, bytes] = {}
        fault = ""
        for file in (self.cosigned, self.file):
            try:
                kept = self._kept(file)
            except ServiceError as error:
                fault = error.en
            else:
                known |= {} if kept is None else {kept.size: kept.root}
        async with self.database.read() as conn:
            found = await trail.verify(conn, at, known)
            heads = await trail.signed_heads(conn)
        fault = found.fault or fault
        for one in heads:
            fault = fault or fault_of(one.note, self.verifiers, {one.size: one.root})
        return replace(found, fault=fault)


def fault_of(note: str, verifiers: Iterable[VerifierKey], roots: dict[int, bytes]) -> str:
    """Why a note is no signed head of these roots by size; empty where it is. A name without a key here is not judged."""
    keys = tuple(verifiers)
    try:
        if note.partition("\n")[0] not in {key.name for key in keys}:
            return ""
        found = open_checkpoint(Note.parse(note.encode()), keys)
    except DomainError as error:
        return f"a signed head does not verify: {error.en}"
    return "" if roots.get(found.size) == found.root else f"the signed head of {found.size} rows says another root"


async def _head(conn: Connection) -> tuple[int, bytes]:
    try:
        return await trail.head(conn)
    except ValueError as fault:
        raise _rolled_back("the stored head is none") from fault


async def _continued(conn: Connection, newest: SignedHead | None, kept: Checkpoint | None) -> Frontier:
    """The tree over all rows, by appending to the last signed one what came since.

    The head kept in the file must be on the way; it is ahead of the database's where a stop cut a signing short.
    """
    try:
        tree = Frontier() if newest is None else Frontier.from_bytes(newest.size, newest.nodes)
    except ValueError as fault:
        raise _rolled_back("the stored head is none") from fault
    if newest is not None and tree.root() != newest.root:
        raise _rolled_back("the stored head is another")
    seen = {tree.size: tree.root()}
    async for row in trail.stream(conn, tree.size):
        if row.seq != tree.size:
            raise _rolled_back(f"row {tree.size} is missing")
        tree.append(row.leaf())
        if kept is not None and tree.size == kept.size:
            seen[tree.size] = tree.root()
    if kept is not None and seen.get(kept.size) != kept.root:
        raise _rolled_back(f"the signed head of {kept.size} rows is not in it")
    if (tree.size, tree.root()) != await _head(conn):
        raise _rolled_back("the rows since the last signed head are not those that were recorded")
    return tree


def _rolled_back(why: str) -> ServiceError:
    return ServiceError(
        "audit-rolled-back",
        f"审计日志与此前签名的不符（{why}）；请运行 suanquan audit verify",
        f"the audit log does not continue what was signed ({why}); run suanquan audit verify",
        kind=Kind.PROOF,
    )


def audit_keys(verifiers: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """The public keys of a ledger's log under the name of its audit log."""
    return tuple(replace(key, name=key.name + SUFFIX) for key in verifiers)


def heads_of(log: Log) -> AuditHeads:
    """The heads of the audit log beside a ledger's log."""
    keys = None
    if log.keys is not None:
        pairs = zip(audit_keys(key for key, _ in log.keys.pairs), (signer for _, signer in log.keys.pairs), strict=True)
        keys = NoteKeys(tuple(pairs))
    return AuditHeads(log.database, log.home.audit_head, audit_keys(log.verifiers), keys, log.clock_ns)


async def signed_head(log: Log) -> SignedHead:
    """The newest signed head, signed now where the keys are at hand.

    Raises:
        ServiceError: `audit-rolled-back`, or `checkpoint-missing`.

    """
    found = await heads_of(log).sign()
    if found is None:
        async with log.database.read() as conn:
            found = await trail.newest_head(conn)
    if found is None:
        zh, en = "尚无签名的审计日志头", "no head of the audit log is signed yet"
        raise ServiceError("checkpoint-missing", zh, en, kind=Kind.NOT_FOUND)
    return found


async def keys_of(service: Service) -> str:
    """The public keys of the audit log, a line each, as a witness registers them."""
    return "".join(f"{key}\n" for key in heads_of(service.log).verifiers)


async def cosigned_head(service: Service) -> str:
    """The last head that a witness cosigned.

    Raises:
        ServiceError: `checkpoint-missing`.

    """
    file = heads_of(service.log).cosigned
    if not file.exists():
        zh, en = "尚无见证方副署的审计日志头", "no head of the audit log is cosigned yet"
        raise ServiceError("checkpoint-missing", zh, en, kind=Kind.NOT_FOUND)
    return file.read_text("utf-8")
