"""Whether the steps of procedures and the register of what is supported are those that the log's notes tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

import cbor2

from ledger.sql import Connection
from ledger.standing import Fault, Wrong
from subsidy import step_body, store

_STEP = Wrong("与日志所记的步骤不符", "is not what the log says of the step")
_CLAIM = Wrong("与日志所记的登记不符", "is not what the log says of the claim")
_LOST = Wrong("日志提到而表中没有", "is told by the log and is not there")
_MAPS = (b"\xaf", b"\xa2")
"""CBOR of maps with as many members as a step and a claim have: other payloads are not looked into."""


@dataclass(slots=True)
class ProcedureTold:
    """What notes say, by number: the digest of the row that must stand in the table; and which events no longer say it."""

    erased: set[bytes] = field(default_factory=set)
    steps: dict[int, bytes] = field(default_factory=dict)
    claims: dict[int, bytes] = field(default_factory=dict)

    def note(self, body: bytes, event_id: bytes) -> None:
        """Collect what the payload of an entry says."""
        if not body.startswith(_MAPS):
            return
        content = cbor2.loads(body)
        kind = content.get("type")
        if kind == step_body.TYPE:
            self.steps[content["number"]] = _digest(step_body.row_of(event_id, body, content))
        elif kind == "support-claim":
            self.claims.update({row[0]: _digest((*row, event_id)) for row in content["rows"]})


def _digest(row: tuple[object, ...]) -> bytes:
    return sha256(cbor2.dumps(list(row), canonical=True)).digest()


async def verify_procedure(conn: Connection, told: ProcedureTold) -> Fault | None:
    """The first row that the log does not tell, or that differs. Rows whose payload was erased are not compared."""
    steps, claims = dict(told.steps), dict(told.claims)
    async for row in store.every_step(conn):
        if row.event_id not in told.erased and steps.pop(row.number, None) != _digest(row):
            return _STEP.at(f"procedure_step {row.number}")
    async for claim in store.every_claim(conn):
        if claim.event_id not in told.erased and claims.pop(claim.number, None) != _digest(claim):
            return _CLAIM.at(f"support_claim {claim.number}")
    if steps:
        return _LOST.at(f"procedure_step {min(steps)}")
    return _LOST.at(f"support_claim {min(claims)}") if claims else None
