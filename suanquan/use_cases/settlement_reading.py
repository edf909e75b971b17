"""Batches, payees and disputes as they stand, folded from their facts."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.errors import Kind
from ledger.scope import Scope
from ledger.sql import Connection
from voucher.errors import VoucherError
from voucher.settlement import batch as batches
from voucher.settlement import payee as payees
from voucher.settlement import store
from voucher.settlement.accounts import centre_of
from voucher.settlement.batch import Batch
from voucher.settlement.fact import Fact
from voucher.settlement.payee import Payee


async def load_batch(conn: Connection, batch: str) -> Batch:
    """The batch of this id.

    Raises:
        VoucherError: `batch-unknown`.

    """
    return batches.fold(await facts_of_batch(conn, batch))


async def facts_of_batch(conn: Connection, batch: str) -> list[Fact]:
    """What was done to a batch, in order; each fact is a note of the log.

    Raises:
        VoucherError: `batch-unknown`.

    """
    facts = await store.facts_of(conn, batch)
    if not facts or facts[0].kind != "prepare":
        raise _unknown(batch)
    return facts


def _unknown(batch: str) -> VoucherError:
    return VoucherError(
        "batch-unknown", f"没有结算批次“{batch[:60]}”", f"no settlement batch {batch[:60]!r}", kind=Kind.NOT_FOUND
    )


def is_of(batch: Batch, scope: Scope) -> bool:
    """Whether a scope holds a batch: a centre and a company have those that pay them."""
    return scope.holds(centre=centre_of(batch.payee) or "", holder=batch.payee.removeprefix("uscc:"))


async def load_own_batch(conn: Connection, batch: str, scope: Scope) -> Batch:
    """The batch of this id, if the scope holds it.

    Raises:
        VoucherError: `batch-unknown`, also for another's.

    """
    found = await load_batch(conn, batch)
    if not is_of(found, scope):
        raise _unknown(batch)
    return found


async def load_batches(conn: Connection, scheme: str | None = None, payee: str | None = None) -> list[Batch]:
    """Batches in the order in which they were prepared, of one scheme or payee where asked."""
    subjects = [
        fact.subject
        for fact in await store.facts_named(conn, "prepare")
        if (content := fact.content)
        and scheme in {None, content["scheme"]}
        and payee in {None, content["payee"]}
    ]  # fmt: skip
    return await _folded(conn, subjects)


async def _folded(conn: Connection, subjects: Iterable[str]) -> list[Batch]:
    facts = await store.facts_of_all(conn, subjects)
    return [batches.fold(some) for some in facts.values()]


async def load_payee(conn: Connection, payee: str) -> Payee:
    """A payee with what is known of it, which may be nothing.

    Raises:
        VoucherError: `payee-unknown`: no such id can be.

    """
    return payees.fold(payees.check_id(payee), await store.facts_of(conn, payee))


async def load_payees(conn: Connection) -> list[Payee]:
    """Everybody whose details were ever set or who was suspended."""
    subjects: dict[str, None] = {}
    for kind in ("payee", "suspend"):
        subjects |= dict.fromkeys(fact.subject for fact in await store.facts_named(conn, kind))
    facts = await store.facts_of_all(conn, subjects)
    return [payees.fold(subject, facts[subject]) for subject in sorted(facts)]
