"""A centre's side of offline leases: a file that holds a lease and what was spent from it, each line on disk before it counts.

    {"lease": compact JWS}
    {"number": 1, "units": 12000000, "at": 1795310137, "reference": "job:42"}
    {"reported": 1}                     everything up to this number was taken by the service
    {"closed": true}                    nothing more is spent: the rest is being given back

A line that was cut off at the end (power went while it was written) was never acknowledged and is dropped. The file belongs
to one machine: a copy of it is no second lease, for the ledger captures no more than it has set aside, and a number once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ledger.amount import format_units
from ledger.errors import Kind
from ledger.jws import VerifyingKey
from metering.zones import rfc3339
from suanquan.errors import ServiceError
from voucher.errors import VoucherError
from voucher.lease import Lease, Spend, read_lease, spend


@dataclass(slots=True)
class Book:
    """What a file says: the lease's token, what was spent, and up to which number that was reported."""

    token: str
    spends: list[Spend] = field(default_factory=list)
    reported: int = 0
    closed: bool = False

    @property
    def waiting(self) -> list[Spend]:
        """Spends that the service has not confirmed."""
        return [one for one in self.spends if one.number > self.reported]


def create_book(path: Path, token: str) -> None:
    """Begin the file of a lease.

    Raises:
        ServiceError: `file-exists`.

    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ServiceError(
            "file-exists", f"{path} 已存在", f"{path} exists and is not overwritten", kind=Kind.CONFLICT
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        _write(file, {"lease": token})


def read_book(path: Path) -> Book:
    """The book of a file.

    Raises:
        ServiceError: `lease-file-unknown` or `lease-file-damaged`, with the line.

    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise ServiceError(
            "lease-file-unknown", f"读不到租约文件 {path}", f"cannot read the lease file {path}", kind=Kind.NOT_FOUND
        ) from fault
    lines = data.split(b"\n")[:-1]  # what follows the last line feed was cut off
    book: Book | None = None
    for number, line in enumerate(lines, 1):
        try:
            book = _read_line(book, json.loads(line))
        except (ValueError, KeyError, TypeError) as fault:
            raise ServiceError(
                "lease-file-damaged",
                f"{path} 第 {number} 行无法识别",
                f"{path}, line {number} cannot be read",
                kind=Kind.PROOF,
            ) from fault
    if book is None:
        raise ServiceError("lease-file-damaged", f"{path} 没有租约", f"{path} holds no lease", kind=Kind.PROOF)
    return book


def _read_line(book: Book | None, line: dict[str, Any]) -> Book:
    if book is None:
        return Book(line["lease"])
    if "closed" in line:
        book.closed = True
        return book
    if "reported" in line:
        book.reported = int(line["reported"])
        return book
    one = Spend(line["number"], line["units"], line["at"], line["reference"])
    if one.number != len(book.spends) + 1:
        raise ValueError("a number is missing")
    book.spends.append(one)
    return book


@dataclass(frozen=True, slots=True)
class Counter:
    """Where a centre spends from a lease without the service: it needs the issuer's keys, its own name and a clock."""

    path: Path
    keys: dict[str, VerifyingKey]
    revoked: dict[str, int]
    issuer: str
    centre: str

    def lease(self, book: Book) -> Lease:
        """The lease, verified anew.

        Raises:
            VoucherError: it is not this centre's, or nobody's.

        """
        return read_lease(book.token, self.keys, issuer=self.issuer, centre=self.centre, revoked=self.revoked)

    def spend(self, units: int, reference: str, now_s: int) -> tuple[Lease, Book]:
        """Spend from the lease; it counts, and is on disk, once this returns.

        Raises:
            DomainError: `lease-over`, `lease-exceeded`, `lease-clock`, or what the file or the token is refused for.

        """
        with _alone(self.path) as file:
            book = read_book(self.path)
            lease = self.lease(book)
            if book.closed:
                raise VoucherError("lease-over", "租约已结清", "the lease was settled", kind=Kind.PROOF)
            one = spend(lease, book.spends, units, reference, now_s=now_s)
            _write(file, {"number": one.number, "units": one.units, "at": one.at_s, "reference": one.reference})
            book.spends.append(one)
        return lease, book

    def close(self) -> None:
        """Spend no more from it, whatever becomes of the last report: what is given back must not be spent meanwhile."""
        with _alone(self.path) as file:
            _write(file, {"closed": True})

    def note_reported(self, number: int) -> None:
        """Note up to which number the service has confirmed."""
        with _alone(self.path) as file:
            _write(file, {"reported": number})


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """The file, with nobody else writing, cut back to its last whole line."""
    try:
        file = path.open("r+b")
    except OSError as fault:
        raise ServiceError(
            "lease-file-unknown", f"读不到租约文件 {path}", f"cannot read the lease file {path}", kind=Kind.NOT_FOUND
        ) from fault
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        yield file


def _write(file: BinaryIO, line: dict[str, Any]) -> None:
    file.write(json.dumps(line).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def spends_object(lease: Lease, spends: list[Spend]) -> list[dict[str, Any]]:
    """Spends as `POST /v1/leases/{lease}/captures` takes them."""
    return [
        {
            "number": one.number,
            "amount": format_units(one.units, lease.asset),
            "at": rfc3339(one.at_s * 1_000_000),
            "reference": one.reference,
        }
        for one in spends
    ]
