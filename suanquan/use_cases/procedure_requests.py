"""What callers of procedures ask for, read strictly; and whether the same was asked before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from ledger.errors import Kind
from ledger.transaction import Transaction
from suanquan.use_cases.applications import Round
from subsidy import step_body, store
from subsidy.errors import SubsidyError
from subsidy.procedure import Role
from subsidy.procedure_inputs import Reader
from subsidy.steps import Actor, Call
from subsidy.store import StepRow
from subsidy.unit import UNITS, of_pot
from voucher.holder import check_uscc

ABOUT = ("round", "clause", "applicant", "applicant_name", "project")


class Wish:
    """A request, and whether it was fulfilled before: by its idempotency key, or by its content."""

    def __init__(self, tx: Transaction, step: str, subject: str, given: Mapping[str, Any], key: str | None) -> None:
        content = json.dumps([step, subject, given], ensure_ascii=False, sort_keys=True, default=str)
        self.digest = tx.keyed(b"request\0" + content.encode())
        self.key = key
        self.event_id = None if key is None else tx.keyed(b"procedure\0" + key.encode())[:16]
        self._connection = tx.connection

    async def recorded(self) -> StepRow | None:
        """The step that was recorded under the key.

        Raises:
            SubsidyError: `idempotency-key-reused`.

        """
        row = None if self.event_id is None else await store.find_step(self._connection, self.event_id)
        if row is not None and step_body.decode(row)["request"] != self.digest:
            raise SubsidyError(
                "idempotency-key-reused",
                "该 Idempotency-Key 已用于内容不同的请求",
                "this Idempotency-Key was used for a different request",
                kind=Kind.CONFLICT,
            )
        return row


def require_role(actor: Actor, role: Role, zh: str, en: str) -> None:
    """Refuse everybody in another role.

    Raises:
        SubsidyError: `role-not-allowed`.

    """
    if actor.role is not role:
        raise SubsidyError(
            "role-not-allowed",
            f"{zh}由 {role.value} 办理，不是 {actor.role.value}",
            f"{en} by {role.value}, not by {actor.role.value}",
            kind=Kind.NOT_ALLOWED,
        )


def not_called(round_: Round, clause: str) -> SubsidyError:
    """The refusal of a clause or scheme that a round is not for."""
    listed = ", ".join(round_.budgets)
    return SubsidyError(
        "clause-not-called",
        f"该轮申报的条款或方案为 {listed}，不含“{clause[:40]}”",
        f"the round is for {listed}, not for {clause[:40]!r}",
    )


def read_funding(reader: Reader, given: Mapping[str, Any]) -> tuple[dict[str, int], str]:
    """What is added to the budgets of a round, and on which basis.

    Raises:
        SubsidyError: `inputs-malformed`.

    """
    for name in given.keys() - {"budgets", "basis"}:
        reader.fault(f"/{name}", f"没有“{name}”这一项", f"there is no `{name}`")
    budgets = _read_budgets(reader, given)
    basis = reader.text("/basis", given.get("basis"))
    reader.raise_any()
    return budgets, basis


def _read_budgets(reader: Reader, given: Mapping[str, Any]) -> dict[str, int]:
    written = given.get("budgets")
    if not isinstance(written, Mapping) or not written:
        reader.fault("/budgets", "应为“条款: 预算（元）”", "must be a mapping of clauses to yuan")
        return {}
    return {str(name): _read_budget(reader, str(name), amount) for name, amount in written.items()}


def _read_budget(reader: Reader, name: str, amount: Any) -> int:
    where, unit = f"/budgets/{name}", of_pot(name)[1]
    if unit is None:
        units = ", ".join(code for code in UNITS if code != "CNY")
        zh = f"“@”之后应为计量单位（{units}），以元计的不写"
        reader.fault(where, zh, f"what follows '@' must be a unit ({units}); budgets of yuan have none")
        return 0
    return reader.amount(where, amount, unit) or 0


def read_basis(reader: Reader, given: Mapping[str, Any]) -> str:
    """The authority for what is done to a round as a whole.

    Raises:
        SubsidyError: `inputs-malformed`.

    """
    for name in given.keys() - {"basis"}:
        reader.fault(f"/{name}", f"没有“{name}”这一项", f"there is no `{name}`")
    basis = reader.text("/basis", given.get("basis"))
    reader.raise_any()
    return basis


def read_call(reader: Reader, given: Mapping[str, Any]) -> Call:
    """A call for applications.

    Raises:
        SubsidyError: `inputs-malformed`.

    """
    for name in given.keys() - {"procedure", "title", "budgets", "opens", "closes", "decision"}:
        reader.fault(f"/{name}", f"没有“{name}”这一项", f"there is no `{name}`")
    budgets = _read_budgets(reader, given)
    days = [reader.day(f"/{name}", given.get(name)) for name in ("opens", "closes")]
    title = reader.text("/title", given.get("title"))
    decision = reader.text("/decision", given["decision"]) if given.get("decision") else ""
    reader.raise_any()
    return Call(title, budgets, date.fromisoformat(days[0]), date.fromisoformat(days[1]), decision)


def read_about(reader: Reader, given: Mapping[str, Any]) -> dict[str, str]:
    """Whose application it is, in which round, for what. An application for a voucher may say `scheme` for `clause`, and a `unit`.

    Raises:
        SubsidyError: `inputs-malformed`.
        VoucherError: the applicant's code is not valid.

    """
    said = {**given, "clause": given.get("clause", given.get("scheme"))}
    about = {name: reader.text(f"/{name}", said.get(name)) for name in ABOUT}
    unit = given.get("unit", "CNY")
    if not isinstance(unit, str) or unit not in UNITS:
        units = ", ".join(UNITS)
        reader.fault("/unit", f"应为其中之一：{units}，现为“{unit}”", f"must be one of {units}, not {unit!r}")
    reader.raise_any()
    check_uscc(about["applicant"])
    return about if unit == "CNY" else {**about, "unit": unit}
