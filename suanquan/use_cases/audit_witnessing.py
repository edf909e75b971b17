"""Witnesses of the audit log: those of the ledger's log that know it too are asked to cosign its heads.

A cosigned head is outside the reach of whoever keeps the home: with it a rewritten past shows, also where database and files
were changed together.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import structlog

from ledger.errors import DomainError
from ledger.policy import Policy
from suanquan.db import trail
from suanquan.db.trail import SignedHead
from suanquan.use_cases.audit_heads import AuditHeads
from suanquan.use_cases.log import RolledBackError
from suanquan.use_cases.witnessing import UNAWARE, Witness, witnesses_of

UNAWARE_SECONDS = 3600
"""When a witness that does not know the audit log is asked again."""

log_ = structlog.get_logger("suanquan.witnessing")


@dataclass(slots=True)
class AuditWitnessing:
    """Keeps the newest signed head of the audit log cosigned; no quorum is asked for, each cosignature counts."""

    heads: AuditHeads
    policy: Policy | None
    witnesses: list[Witness] = field(init=False)

    def __post_init__(self) -> None:
        self.witnesses = witnesses_of(self.policy)

    async def round(self) -> None:
        """Ask those who lack the head and may be asked; a failure is logged and tried again later."""
        async with self.heads.database.read() as conn:
            newest = await trail.newest_head(conn)
        if newest is None or newest.note.partition("\n")[0] not in {key.name for key in self.heads.verifiers}:
            return
        now = time.monotonic()
        due = [one for one in self.witnesses if one.size < newest.size and one.not_before <= now]
        await asyncio.gather(*(self._ask(witness, newest) for witness in due))

    async def _ask(self, witness: Witness, head: SignedHead) -> None:
        try:
            lines = await witness.cosign(head, lambda old: self.heads.prove(old, head))
        except RolledBackError as claim:
            _tell(witness, head, claim)
            witness.failed(claim)
        except (OSError, DomainError, TimeoutError) as error:
            if getattr(error, "code", "") == UNAWARE:
                witness.not_before = time.monotonic() + UNAWARE_SECONDS
                log_.info("witness does not know the audit log", url=witness.url)
            else:
                witness.failed(error)
        else:
            self.heads.keep_cosigned(head, lines)


def _tell(witness: Witness, head: SignedHead, claim: RolledBackError) -> None:
    log_.error("audit log does not continue what was cosigned", url=witness.url, size=head.size, known=claim.known)
