"""The audit log: what a row says, what the tree commits to, and how whoever has the rows checks them.

A row's leaf holds its number, its time, the action, a pseudonym of who acted and a salted commitment to the rest; the rest may
be erased, and every root still holds.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from types import MappingProxyType

import cbor2

from ledger.tree import Frontier, hash_leaf

VERSION = 1
SALT_BYTES = 16
ERASE = "audit.erase"
TEXT_MAX = 400


@dataclass(frozen=True, slots=True)
class Act:
    """Who did or read what. `about` names the object or the query, `request` the request's id, `via` the surface."""

    action: str
    person: str
    role: str
    tenant: str = ""
    about: str = ""
    request: str = ""
    via: str = "http"

    def body(self) -> str:
        """The detail of the row, in one spelling."""
        members = {name: text[:TEXT_MAX] for name, text in asdict(self).items() if name != "action"}
        return json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the audit log; `salt` and `body` are None once they are erased."""

    seq: int
    at_us: int
    action: str
    person: bytes
    commitment: bytes
    salt: bytes | None = None
    body: str | None = None

    def leaf(self) -> bytes:
        """Hash of what the tree commits to (RFC 6962, 2.1)."""
        members = [VERSION, self.seq, self.at_us, self.action, self.person, self.commitment]
        return hash_leaf(cbor2.dumps(members, canonical=True))


def commitment_of(salt: bytes, body: str) -> bytes:
    """What a leaf says of a detail: nobody who lacks the salt can guess it."""
    return sha256(salt + body.encode("utf-8", "surrogatepass")).digest()


def pseudonym(key: bytes, person: str) -> bytes:
    """What a leaf says of a person: the same for the same name, and nobody's without the key."""
    return hmac.digest(key, person.encode("utf-8", "surrogatepass"), "sha256")[:16]


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of reading rows: how many, the root over them, the first fault (empty where there is none).

    `earlier` is the root at the size that was asked for.
    """

    size: int
    root: bytes
    fault: str = ""
    earlier: bytes | None = None


def check(
    rows: Iterable[Row],
    erased: frozenset[int] = frozenset(),
    at: int | None = None,
    heads: Mapping[int, bytes] = MappingProxyType({}),
) -> Checked:
    """Recompute the tree over rows in order; details must be what their rows commit to, or erased.

    `heads` are roots by size that the tree must have had.
    """
    tree, fault, roots = Frontier(), "", {}
    sizes = {*heads, at}
    for number, row in enumerate(rows):
        if number in sizes:
            roots[number] = tree.root()
        fault = fault or _fault(number, row, erased)
        tree.append(row.leaf())
    roots[tree.size] = tree.root()
    for size, root in sorted(heads.items()):
        if roots.get(size) != root:
            fault = fault or f"the rows do not continue the signed head of {size} rows"
    return Checked(tree.size, tree.root(), fault, None if at is None else roots.get(at))


def _fault(number: int, row: Row, erased: frozenset[int]) -> str:
    if row.seq != number:
        return f"row {number} is missing"
    if row.salt is None or row.body is None:
        return "" if row.seq in erased else f"the detail of row {row.seq} is missing"
    if commitment_of(row.salt, row.body) != row.commitment:
        return f"the detail of row {row.seq} is not what was recorded"
    return ""
