"""An account's statement of a month: what was booked in it, at what price, who paid, and where each entry is proved.

It is made of the rows of the FOCUS export, so that both say the same. Energy is of what was used in the month, as monitors
measured it (`suanquan.use_cases.energy`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ledger.amount import CNY, format_units
from ledger.scope import Scope
from metering.completeness import Completeness, State
from metering.focus import Charge
from metering.zones import rfc3339
from suanquan.service import Service
from suanquan.use_cases.completeness import months_of
from suanquan.use_cases.energy import month_energy
from suanquan.use_cases.focus_export import Period, charges_of_account, period_of
from voucher import store as voucher_store


async def month_statement(service: Service, scope: Scope, centre: str, account: str, month: int) -> dict[str, Any]:
    """The statement of the policy month 202611; of what lies outside the scope there is nothing.

    Raises:
        ServiceError: `posting-changed`.

    """
    async with service.database.read() as conn:
        bound = {(found, name): holder for found, name, holder in await voucher_store.load_bindings(conn)}
        mine = scope.everything or scope.holds(centre=centre, holder=bound.get((centre, account), ""))
        energy = await month_energy(conn, service.catalog, centre, account, month) if mine else None
        declared = (await months_of(conn, centre)).get((month, account)) if mine else None
    rows = [one async for one in charges_of_account(service, month, centre, account)] if mine else []
    found = declared[1] if declared else Completeness(State.UNDECLARED)
    return {
        "centre": centre,
        "account": account,
        "month": f"{month // 100}-{month % 100:02d}",
        **_sums(charge for charge, _ in rows),
        "paid_by": _paid(charge for charge, _ in rows),
        "rows": [_row(charge, events, period_of(month)) for charge, events in rows],
        "energy": energy,
        "completeness": {
            "state": found.state.value,
            "missing": {"segments": found.segments, "gpu_ms": str(found.gpu_ms)},
        },
    }


def _sums(charges: Iterable[Charge]) -> dict[str, Any]:
    known = list(charges)
    classes: Counter[str] = Counter()
    for one in known:
        classes.update(one.classes or {"compute": _yuan(one)})
    return {
        "gpu_ms": sum(one.gpu_ms for one in known),
        "list_yuan": format_units(sum(one.list_yuan for one in known), CNY),
        "yuan": format_units(sum(map(_yuan, known)), CNY),
        "self_pay_yuan": format_units(sum(one.billed_yuan for one in known), CNY),
        "classes": {name: format_units(units, CNY) for name, units in sorted(classes.items())},
    }


def _yuan(charge: Charge) -> int:
    return charge.list_yuan if charge.contracted_yuan is None else charge.contracted_yuan


def _paid(charges: Iterable[Charge]) -> dict[str, str]:
    """Yuan by voucher, or by scheme where compute was given in kind."""
    found: Counter[str] = Counter()
    for one in charges:
        if one.voucher:
            found[one.voucher] += _yuan(one)
    return {payer: format_units(units, CNY) for payer, units in sorted(found.items())}


def _row(charge: Charge, events: list[str], period: Period) -> dict[str, Any]:
    """A row, marked where its usage is of an earlier month, with the entries that book it (`suanquan ledger prove`)."""
    return {
        "from": rfc3339(charge.from_us),
        "to": rfc3339(charge.to_us),
        "model": charge.model,
        "records": int(charge.tags["records"]),
        "gpu_ms": charge.gpu_ms,
        "yuan_per_gpu_hour": format_units(charge.unit_yuan, CNY),
        "list_yuan": format_units(charge.list_yuan, CNY),
        "yuan": format_units(_yuan(charge), CNY),
        "paid_by": charge.voucher,
        "correction": charge.correction,
        "prior_period": charge.from_us < period.from_us,
        "events": events,
    }
