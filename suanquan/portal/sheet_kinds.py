"""What can be brought in as a spreadsheet: its columns, what is asked beside it, what is wrong row by row, and the act.

Each act is one that the API and the commands have; a sheet counts as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from ledger.amount import ASSETS, CNY, INT64_MAX, format_units, parse_units
from ledger.errors import DomainError, Finding, Kind
from ledger.sql import Connection
from metering import centre_store
from metering import store as metering_store
from metering.capacity import Card, inventory_findings
from metering.centre import CentreRecord, Energy, checked_cards
from metering.zones import shanghai_day_us
from suanquan.access.policy import CENTRE
from suanquan.access.principal import Principal
from suanquan.conduct import Conduct, conducted
from suanquan.errors import ServiceError
from suanquan.http.auth import scope_of
from suanquan.portal.sheet_rows import Fault, Field, Rows, at_row, repeated
from suanquan.service import Service
from suanquan.use_cases import centres, parties
from suanquan.use_cases.catalogue import find_scheme, version_at
from suanquan.use_cases.issue import Order
from suanquan.use_cases.issue_many import issue_all, record_all
from voucher.issuance import Contract, IssueRequest

ALWAYS = shanghai_day_us(date(1970, 1, 2))
TRIED_MAX = 250
"""Orders of one sheet: as many as are recorded in one transaction."""


class At(NamedTuple):
    """For whom a sheet is looked through, what was typed beside it, and which file it is (its draft's number)."""

    service: Service
    who: Principal
    inputs: Mapping[str, str]
    draft: str


class Sheet(Protocol):
    """One kind of spreadsheet. `asks` is what is typed or chosen beside the file."""

    name: str
    action: str
    fields: tuple[Field, ...]
    asks: tuple[str, ...]

    async def look(self, at: At, rows: Rows) -> tuple[list[Fault], list[Finding]]:
        """What is wrong row by row beyond the form of the cells, and what is worth knowing and stops nothing."""

    async def act(self, at: At, rows: Rows) -> dict[str, Any]:
        """Make the whole of it count, in one transaction; what came of it."""


class Electricity:
    """A centre's electricity by month: PUE and green power follow from it."""

    name, action = "energy", "energy.report"
    asks: tuple[str, ...] = ("centre", "evidence")
    fields: tuple[Field, ...] = (
        Field("month", "月份", "Month", "month", "2026-10"),
        Field("total_kwh", "总用电（千瓦时）", "All electricity (kWh)", "whole", "1240000"),
        Field("it_kwh", "设备用电（千瓦时）", "Equipment (kWh)", "whole", "1000000"),
        Field("green_kwh", "其中绿电（千瓦时）", "Green part (kWh)", "whole", "186000"),
    )

    async def look(self, at: At, rows: Rows) -> tuple[list[Fault], list[Finding]]:
        """Months that cannot be, or stand twice; and those that are there already, which become corrections."""
        faults = repeated(rows, self.fields, "month")
        for number, row in rows.rows:
            try:
                centres.require_month(_reading(row))
            except DomainError as error:
                faults.append(at_row(rows, number, self.fields, "it_kwh", error.zh, error.en))
        async with at.service.database.read() as conn:
            known = CentreRecord(await centre_store.load_facts(conn, _centre(at))).energy()
        notes = [
            Finding("month-known", f"{row['month']} 已填报过，将作为更正，前后两次都保留", f"{row['month']} was reported before: this corrects it, and both stay")
            for _, row in rows.rows
            if row["month"] in known
        ]  # fmt: skip
        return faults, notes

    async def act(self, at: At, rows: Rows) -> dict[str, Any]:
        """Register every month."""
        said = centres.Said(at.who.name, ALWAYS, at.inputs["evidence"])
        readings = [_reading(row) for _, row in rows.rows]
        await centres.register_months(at.service.journal, _centre(at), readings, said)
        return {"rows": len(readings)}


def _reading(row: Mapping[str, str]) -> Energy:
    return Energy(row["month"], *(int(row[name]) for name in ("total_kwh", "it_kwh", "green_kwh")))


def _centre(at: At) -> str:
    """The centre that a sheet is about: one's own, or the one that was chosen.

    Raises:
        ServiceError: `centre-unknown`.

    """
    scope = scope_of(at.who)
    centre = at.who.tenant if at.who.role in CENTRE else at.inputs.get("centre", "")
    if not scope.holds(centre=centre):
        raise centres.unknown_centre(centre)
    return centre


class Inventory:
    """All cards of a centre."""

    name, action = "inventory", "centre.change"
    asks: tuple[str, ...] = ("centre", "since", "evidence")
    fields: tuple[Field, ...] = (
        Field("serial", "序列号", "Serial number", "text", "1650924012345", length=64),
        Field("model", "型号", "Model", "text", "A100", length=64),
        Field("from", "启用日", "From", "day", "2026-01-01", needed=False),
        Field("to", "停用日", "To", "day", "", needed=False),
    )

    async def look(self, at: At, rows: Rows) -> tuple[list[Fault], list[Finding]]:
        """Cards that cannot be together; and models that nobody registered, which count in no sum."""
        cards = _cards(at, rows)
        wrong = {found.where: found for found in inventory_findings(cards)}
        faults = [
            at_row(rows, number, self.fields, "serial", wrong[row["serial"]].zh, wrong[row["serial"]].en)
            for number, row in rows.rows
            if row["serial"] in wrong
        ]
        register = at.service.catalog.accelerators
        unknown = sorted({card.model for card in cards if register.resolve(card.model, at.service.now_us) is None})
        notes = [Finding("model-unregistered", f"型号“{model}”没有登记，不计入容量", f"the model {model!r} is not registered, and counts in no sum") for model in unknown]  # fmt: skip
        return faults, notes

    async def act(self, at: At, rows: Rows) -> dict[str, Any]:
        """Replace the inventory."""
        said = centres.Said(at.who.name, _since(at), at.inputs["evidence"])
        cards = checked_cards(_cards(at, rows), "")
        await centres.register_inventory(at.service.journal, at.service.catalog, _centre(at), cards, said)
        return {"rows": len(cards)}


def _since(at: At) -> int:
    try:
        return shanghai_day_us(date.fromisoformat(at.inputs.get("since", "")))
    except ValueError:
        zh, en = "起始日应如 2026-11-20", "the first day must look like 2026-11-20"
        raise ServiceError("day-malformed", zh, en) from None


def _cards(at: At, rows: Rows) -> list[Card]:
    since = _since(at)
    return [
        Card(
            row["serial"], row["model"],
            shanghai_day_us(date.fromisoformat(row["from"])) if row.get("from") else since,
            shanghai_day_us(date.fromisoformat(row["to"])) if row.get("to") else INT64_MAX,
        )
        for _, row in rows.rows
    ]  # fmt: skip


class Vouchers:
    """Vouchers that are issued without an application, each with the contract that it supports or the reason why there is none."""

    name, action = "vouchers", "voucher.issue"
    asks: tuple[str, ...] = ("scheme",)
    fields: tuple[Field, ...] = (
        Field("holder", "持券单位统一社会信用代码", "Holder's code", "code", "91310117MA1J00001X"),
        Field("amount", "面额", "Amount", "amount", "20000.00"),
        Field("unit", "单位", "Unit", "choice", "CNY", needed=False, choices=tuple(ASSETS)),
        Field("provider", "合同提供方", "Contract provider", "text", "松江智算中心", needed=False),
        Field("number", "合同编号", "Contract number", "text", "HT-2026-001", needed=False),
        Field("reason", "没有合同的理由", "Reason for no contract", "text", "", needed=False, length=400),
    )

    async def look(self, at: At, rows: Rows) -> tuple[list[Fault], list[Finding]]:
        """What the scheme refuses of each alone, and then of all together: each is tried out and taken back."""
        orders = _orders(at, rows)
        if len(orders) > TRIED_MAX:
            number = rows.rows[TRIED_MAX][0]
            zh, en = f"一次至多 {TRIED_MAX} 张", f"at most {TRIED_MAX} at once"
            return [at_row(rows, number, self.fields, "holder", zh, en)], []
        faults = []
        for (number, _), order in zip(rows.rows, orders, strict=True):
            if (error := await _tried(at, [order])) is not None:
                faults.append(at_row(rows, number, self.fields, _about(error), error.zh, error.en))
        if not faults and (error := await _tried(at, orders)) is not None:
            number = rows.rows[-1][0]
            faults.append(
                at_row(
                    rows, number, self.fields, "amount", f"合在一起不行：{error.zh}", f"not all together: {error.en}"
                )
            )
        return faults, [_total(rows)]

    async def act(self, at: At, rows: Rows) -> dict[str, Any]:
        """Issue all of them."""
        made = await issue_all(at.service.desk, _orders(at, rows))
        return {"rows": len(made)}


def _about(error: DomainError) -> str:
    """The column that a refusal is about: the field that its first finding names, else what is short, else the holder."""
    named = error.findings[0].where.rpartition("/")[2] if error.findings else ""
    if named in {field.name for field in Vouchers.fields}:
        return named
    if error.code in {"grounds-missing", "contract-claimed"}:
        return "number"
    return "amount" if error.kind is Kind.INSUFFICIENT else "holder"


async def _tried(at: At, orders: list[Order]) -> DomainError | None:
    """Why these cannot be issued together; None where they can. Nothing stays of it.

    Raises:
        DomainError: of kind UNAVAILABLE: nobody can tell.

    """
    try:
        with conducted(Conduct(rehearsal=True)):
            await record_all(at.service.desk, orders)
    except DomainError as error:
        if error.kind is Kind.UNAVAILABLE:
            raise
        return error
    return None


def _total(rows: Rows) -> Finding:
    sums: dict[str, int] = {}
    for _, row in rows.rows:
        unit = row.get("unit") or CNY.code
        sums[unit] = sums.get(unit, 0) + parse_units(row["amount"], ASSETS[unit])
    said = "; ".join(f"{format_units(units, ASSETS[unit])} {unit}" for unit, units in sums.items())
    return Finding("total", f"共 {len(rows.rows)} 张，合计 {said}", f"{len(rows.rows)} vouchers, {said} in all")


def _orders(at: At, rows: Rows) -> list[Order]:
    scheme = version_at(find_scheme(at.service.catalog.series, at.inputs.get("scheme", "")), at.service.now_us)
    orders = []
    for number, row in rows.rows:
        contract = Contract(row.get("provider", ""), row["number"]) if row.get("number") else None
        unit = row.get("unit") or CNY.code
        request = IssueRequest(row["holder"], unit, row["amount"], None, contract, row.get("reason", ""))
        orders.append(Order(request, scheme, sha256(f"{at.draft}\0{number}".encode()).hexdigest(), "sheet"))
    return orders


class Ties:
    """What ties companies together, as registers say: shareholders, officers, addresses."""

    name, action = "parties", "party.change"
    asks: tuple[str, ...] = ("origin",)
    fields: tuple[Field, ...] = (
        Field("party", "单位", "Party", "text", "91310117MA1J00001X"),
        Field("kind", "关联种类", "Kind", "choice", parties.KINDS[0], choices=parties.KINDS),
        Field("value", "内容", "Value", "text", "91310000MA1K35QN0G"),
    )

    async def look(self, at: At, rows: Rows) -> tuple[list[Fault], list[Finding]]:
        """Nothing beyond the cells; where it is known from must be said."""
        if not at.inputs.get("origin", "").strip():
            raise ServiceError("reason-missing", "请写明来源（登记簿、申请材料等）", "say where it is known from")
        return [], [Finding("masked", f"{len(rows.rows)} 条；内容只以摘要保存", f"{len(rows.rows)} ties; values are kept as digests alone")]  # fmt: skip

    async def act(self, at: At, rows: Rows) -> dict[str, Any]:
        """Keep all of them."""
        said = [parties.Said(*(row[name] for name in parties.Said._fields)) for _, row in rows.rows]
        return {"rows": (await parties.learn(at.service.journal, said, at.inputs["origin"]))["traits"]}


SHEETS: Mapping[str, Sheet] = {one.name: one for one in (Electricity(), Inventory(), Vouchers(), Ties())}


async def centres_of(conn: Connection, who: Principal) -> dict[str, str]:
    """Centres that somebody may bring a sheet in for."""
    scope = scope_of(who)
    return {one: name for one, name in (await metering_store.load_centres(conn)).items() if scope.holds(centre=one)}
