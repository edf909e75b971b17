"""A step as bytes: the payload of its NOTE in the log, and what its row keeps; canonical CBOR without floats."""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

import cbor2

from subsidy.procedure import Procedure, Record
from subsidy.store import StepRow

TYPE = "procedure-step"


class Header(NamedTuple):
    """Where a step belongs, when it was taken, and the digest of the request that asked for it."""

    number: int
    subject: str
    round: str
    at_us: int
    request: bytes


def encode(header: Header, procedure: Procedure, record: Record) -> bytes:
    """The body of a step."""
    content = {
        "type": TYPE,
        "number": header.number,
        "subject": header.subject,
        "round": header.round,
        "at_us": header.at_us,
        "request": header.request,
        "procedure": procedure.id,
        "revision": procedure.revision,
        "rules": procedure.digest,
        "step": record.step,
        "person": record.person,
        "role": record.role,
        "day": record.day.isoformat(),
        "inputs": dict(record.inputs),
        "derived": dict(record.derived),
    }
    return cbor2.dumps(content, canonical=True)


def decode(row: StepRow) -> dict[str, Any]:
    """What a body says."""
    content: dict[str, Any] = cbor2.loads(row.body)
    return content


def record_of(row: StepRow) -> Record:
    """The record that a row keeps."""
    content = decode(row)
    day = date.fromisoformat(content["day"])
    return Record(content["step"], content["person"], content["role"], day, content["inputs"], content["derived"])


def row_of(event_id: bytes, body: bytes, content: dict[str, Any]) -> StepRow:
    """The row of a body: what the log says must stand in the table."""
    return StepRow(
        content["number"], content["subject"], content["round"], content["step"], content["person"], content["role"],
        content["at_us"], event_id, body,
    )  # fmt: skip
