"""Issue what was approved: the step that the program takes by itself, once, and the signature that follows it.

Recording a voucher is a step of its application and one transaction; signing comes after it. Whatever stops in between is taken up
again by whoever looks next (the same request, the job, the command), and gives the same voucher.
"""

from __future__ import annotations

from ledger.errors import DomainError
from ledger.scope import EVERYTHING
from ledger.transaction import Transaction
from suanquan.use_cases.applications import Application, load_application
from suanquan.use_cases.issue import release
from suanquan.use_cases.issue_many import Desk
from suanquan.use_cases.procedure import Proceedings
from subsidy.procedure import Procedure, Role, Step
from subsidy.steps import Actor
from voucher import programme_store
from voucher.document import make_jti
from voucher.store import StoredVoucher

SERVICE = Actor("suanquan", Role.SERVICE)
TOGETHER = 100
"""Applications that one look takes up."""
RECENT_US = 7 * 86_400 * 1_000_000
"""How old a voucher may be that is signed without being asked for: an older one is signed when its issue is repeated."""


def automatic_step(procedure: Procedure, state: str) -> Step | None:
    """The step that the program takes by itself in a state."""
    return next((step for step in procedure.next_steps(state) if step.automatic), None)


async def issue_approved(proceedings: Proceedings, desk: Desk, application: str) -> list[StoredVoucher]:
    """Take the automatic step of an application, if there is one, and sign what it recorded; the application's vouchers.

    Raises:
        DomainError: what `take` or the issue refuses; the application then stays approved.

    """
    found = await _load(proceedings, application)
    step = automatic_step(found.round.procedure, found.case.state)
    if step is not None:
        await proceedings.take(SERVICE, application, step.id, {})  # of several who look at once, one takes it
        found = await _load(proceedings, application)
    return [await release(desk.journal, jti, desk.keys, desk.signer, desk.signers) for jti in found.case.vouchers]


async def _load(proceedings: Proceedings, application: str) -> Application:
    return await proceedings.journal.transact(
        lambda tx: load_application(tx.connection, proceedings.office, application, EVERYTHING)
    )


async def take_up(proceedings: Proceedings, desk: Desk) -> tuple[int, list[tuple[str, DomainError]]]:
    """Issue what is approved anywhere, and sign what was recorded lately and not signed; how many, and what was refused why.

    One that is refused stops no other.
    """
    leading = _leading_to_automatic(proceedings)

    async def look(tx: Transaction) -> tuple[list[str], list[str]]:
        waiting = await programme_store.newest_after(tx.connection, leading) if leading else []
        since = make_jti(max(tx.now_ns // 1000 - RECENT_US, 0), bytes(10))
        return waiting[:TOGETHER], await programme_store.waiting_for_release(tx.connection, since, TOGETHER)

    waiting, unsigned = await desk.journal.transact(look)
    refused: list[tuple[str, DomainError]] = []
    for name in (*waiting, *unsigned):
        try:
            if name in unsigned:
                await release(desk.journal, name, desk.keys, desk.signer, desk.signers)
            else:
                await issue_approved(proceedings, desk, name)
        except DomainError as error:
            refused.append((name, error))
    return len(waiting) + len(unsigned) - len(refused), refused


def _leading_to_automatic(proceedings: Proceedings) -> list[str]:
    """Names of steps after which the program has something to do."""
    return sorted(
        {
            step.id
            for procedure in proceedings.office.procedures.values()
            for step in procedure.steps.values()
            if step.target and automatic_step(procedure, step.target)
        }
    )
