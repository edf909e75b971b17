"""Facts of settlement: what somebody did to a batch, a claim, a payee or a receipt; canonical CBOR that a NOTE of the log carries.

Everything that stands is folded from facts, so that `ledger verify` compares rows with the log and nothing else has to be
believed. A fact is never changed: what was wrong is followed by another one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cbor2

TYPE = "settlement-fact"
FIRST_BYTE = b"\xa9"
"""CBOR of a map of nine members, which every body begins with."""


class Fact(NamedTuple):
    """A fact as stored: its number from 1 on, whom or what it is about, and the body that the log commits to."""

    number: int
    subject: str
    kind: str
    person: str
    role: str
    at_us: int
    event_id: bytes
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """What the fact says beyond who did it and when."""
        content: dict[str, Any] = cbor2.loads(self.body)["content"]
        return content

    @property
    def request(self) -> bytes:
        """Digest of the request that it came from."""
        return bytes(cbor2.loads(self.body)["request"])


class Said(NamedTuple):
    """Who says what of which subject, before it has a number."""

    subject: str
    kind: str
    person: str
    role: str
    content: dict[str, Any]


def encode(number: int, at_us: int, request: bytes, said: Said) -> bytes:
    """The body of a fact."""
    return cbor2.dumps(
        {
            "type": TYPE,
            "number": number,
            "subject": said.subject,
            "kind": said.kind,
            "person": said.person,
            "role": said.role,
            "at_us": at_us,
            "request": request,
            "content": said.content,
        },
        canonical=True,
    )


def fact_of(event_id: bytes, body: bytes) -> Fact | None:
    """The fact that the payload of an entry tells; None where it tells something else."""
    if not body.startswith(FIRST_BYTE):
        return None
    try:
        told = cbor2.loads(body)
        if told.get("type") != TYPE:
            return None
        return Fact(
            int(told["number"]), str(told["subject"]), str(told["kind"]), str(told["person"]), str(told["role"]),
            int(told["at_us"]), event_id, body,
        )  # fmt: skip
    except (cbor2.CBORDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None
