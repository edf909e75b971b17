"""What a receipt says of its entry: the leaf, and where they were disclosed the salt and payload that it commits to.

They stand in the `extra` line of a `.tlog-proof` as one JSON object in hexadecimal, which any tool can take apart. That line
is not signed, so nothing of it is believed before it is compared with the leaf, and the leaf with the tree.
"""

from __future__ import annotations

import hmac
import json
from typing import NamedTuple

from ledger.checkpoint import Checkpoint
from ledger.entry import Entry
from ledger.errors import Kind, LedgerError
from ledger.leaf import commitment, decode
from ledger.policy import Policy
from ledger.tlog_proof import TlogProof
from ledger.tree import hash_leaf


class Content(NamedTuple):
    """An entry's leaf and, where disclosed, its payload with its salt; `erased_by` names the entry that says it is gone."""

    leaf: bytes
    salt: bytes = b""
    payload: bytes | None = None
    erased_by: int | None = None

    def to_extra(self) -> bytes:
        """What stands in the `extra` line."""
        members: dict[str, str | int] = {"leaf": self.leaf.hex()}
        if self.payload is not None:
            members |= {"payload": self.payload.hex(), "salt": self.salt.hex()}
        if self.erased_by is not None:
            members["erased_by"] = self.erased_by
        return json.dumps(members, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, extra: bytes) -> Content:
        """Content of an `extra` line.

        Raises:
            LedgerError: `receipt-malformed`.

        """
        try:
            members = json.loads(extra)
            payload = members.get("payload")
            content = cls(
                bytes.fromhex(members["leaf"]),
                bytes.fromhex(members.get("salt", "")),
                None if payload is None else bytes.fromhex(payload),
                members.get("erased_by"),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _bad(
                "receipt-malformed", "extra 行不是分录内容", "its extra line is no content of an entry"
            ) from error
        if content.to_extra() != extra:
            raise _bad("receipt-malformed", "extra 行不是规范写法", "its extra line is not in its one spelling")
        return content


class Proven(NamedTuple):
    """What a receipt proves: the entry, the checkpoint it is under, and the content that goes with it."""

    entry: Entry
    checkpoint: Checkpoint
    content: Content


def check_receipt(data: bytes, policy: Policy) -> Proven:
    """Check a receipt with nothing but a policy's keys.

    Raises:
        LedgerError: `receipt-malformed`, what `TlogProof.verify` raises, `leaf-malformed`, or `receipt-content` where the
            payload is not the one that the entry commits to.

    """
    proof = TlogProof.parse(data)
    if proof.extra is None:
        raise _bad("receipt-malformed", "缺少 extra 行", "it has no extra line")
    content = Content.parse(proof.extra)
    checkpoint = proof.verify(hash_leaf(content.leaf), policy)
    entry, _ = decode(content.leaf)
    if entry.seq != proof.index:
        raise _bad("receipt-content", "叶子的编号不是证明的编号", "the leaf's number is not that of the proof")
    if content.payload is not None and not hmac.compare_digest(
        commitment(content.salt, content.payload), entry.commitment
    ):
        raise _bad("receipt-content", "内容与叶子的承诺不符", "the payload is not what the leaf commits to")
    return Proven(entry, checkpoint, content)


def _bad(code: str, zh: str, en: str) -> LedgerError:
    return LedgerError(code, f"收据不符：{zh}", f"the receipt is not valid: {en}", kind=Kind.PROOF)
