"""A centre as registered: cards, energy by month, statements and suspensions, each valid from a day on, none ever changed.

A later fact replaces an earlier one for the time from its own day; of two with one day the later recorded counts. Suspensions
and resumptions are switches in the order of their days. PUE and the share of green power follow from metered
kilowatt-hours, twelve months of them, and are kept as exact fractions.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from ledger.amount import INT64_MAX
from metering.accelerators import AcceleratorRegister
from metering.capacity import WHOLE_MILLI, Card, inventory_findings
from metering.errors import MeteringError
from metering.zones import shanghai_day_us

CARDS_MAX = 1_000_000
SERIAL_MAX = 64
MONTHS_OF_YEAR = 12
INVENTORY, ENERGY, STATEMENT, SUSPENSION, ADMISSION = "inventory", "energy", "statement", "suspension", "admission"
OPERATOR, DECLARED = "operator", "declared_tflops"
"""Statements that are no fact of a policy: who operates the centre (its code), and what it says it can do."""


@dataclass(frozen=True, slots=True)
class CentreFact:
    """One thing registered. `period` is the month of an energy reading or the name of a statement, else empty.

    `body` is canonical JSON, for an inventory its lines; `evidence` the SHA-256 of a document that is kept elsewhere.
    """

    number: int
    centre: str
    kind: str
    period: str
    from_us: int
    body: bytes
    evidence: str
    officer: str
    recorded_us: int

    @property
    def content(self) -> Any:
        """What a body of JSON says."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Energy:
    """A month's kilowatt-hours: all of the centre, its computing equipment, and of all the green part."""

    month: str
    total_kwh: int
    it_kwh: int
    green_kwh: int


def canonical(content: Any) -> bytes:
    """JSON as it is kept: sorted, compact, UTF-8."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


class CentreRecord:
    """What is registered of one centre, as of any instant."""

    def __init__(self, facts: Iterable[CentreFact]) -> None:
        self.facts = sorted(facts, key=lambda fact: (fact.from_us, fact.number))

    def newest(self, kind: str, at_us: int, period: str = "") -> CentreFact | None:
        """The fact in force at an instant."""
        fitting = [fact for fact in self.facts if (fact.kind, fact.period) == (kind, period) and fact.from_us <= at_us]
        return fitting[-1] if fitting else None

    def statements(self, at_us: int) -> dict[str, Any]:
        """Values of statements in force at an instant, by name."""
        return {fact.period: fact.content for fact in self.facts if fact.kind == STATEMENT and fact.from_us <= at_us}

    def energy(self) -> dict[str, Energy]:
        """Readings by month; of several for one month the one recorded last."""
        found = [fact for fact in self.facts if fact.kind == ENERGY]
        return {fact.period: Energy(fact.period, **fact.content) for fact in sorted(found, key=lambda one: one.number)}

    def year_before(self, month: str) -> list[Energy]:
        """Readings of the twelve months that end with `month`, as far as there are any."""
        known = self.energy()
        return [known[name] for name in _months_to(month) if name in known]

    def suspensions(self) -> list[tuple[int, int, str]]:
        """Spans `[from, to)` in which the centre is suspended, with the reason of each."""
        found: list[tuple[int, int, str]] = []
        for fact in self.facts:
            if fact.kind != SUSPENSION:
                continue
            if found and found[-1][1] == INT64_MAX:
                since, _, reason = found.pop()
                found += [(since, fact.from_us, reason)] if since < fact.from_us else []
            if fact.content["suspended"]:
                found.append((fact.from_us, INT64_MAX, fact.content["reason"]))
        return found


def pue(months: Sequence[Energy]) -> Fraction | None:
    """All electricity over that of the equipment, exactly; None without a reading."""
    it_kwh = sum(month.it_kwh for month in months)
    return Fraction(sum(month.total_kwh for month in months), it_kwh) if it_kwh else None


def green_share(months: Sequence[Energy]) -> Fraction | None:
    """The green part of all electricity, exactly; None without a reading."""
    total_kwh = sum(month.total_kwh for month in months)
    return Fraction(sum(month.green_kwh for month in months), total_kwh) if total_kwh else None


def _months_to(month: str) -> list[str]:
    year, number = int(month[:4]), int(month[5:])
    back = [(year * 12 + number - 1 - n) for n in range(MONTHS_OF_YEAR)]
    return [f"{at // 12:04d}-{at % 12 + 1:02d}" for at in reversed(back)]


def check_energy(reading: Energy) -> None:
    """Refuse a reading that cannot be.

    Raises:
        MeteringError: `energy-invalid`.

    """
    if not 0 < reading.it_kwh <= reading.total_kwh or not 0 <= reading.green_kwh <= reading.total_kwh <= INT64_MAX:
        raise MeteringError(
            "energy-invalid",
            f"{reading.month}：应有 0 < 设备用电 ≤ 总用电，0 ≤ 绿电 ≤ 总用电",
            f"{reading.month}: it must hold that 0 < equipment <= total, and 0 <= green <= total",
        )


def read_inventory(data: bytes, file: str, from_us: int) -> list[Card]:
    """Cards of a CSV with the columns `serial`, `model` and, where a card came later or left, `from` and `to` (days).

    Raises:
        MeteringError: `inventory-invalid`, with the file, the line and what is wrong.

    """
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        names = set(rows.fieldnames or ())
        if not {"serial", "model"} <= names or not names <= {"serial", "model", "from", "to"}:
            raise _invalid(file, "表头应为 serial,model[,from,to]", "the header must be serial,model[,from,to]")
        cards = [_card(row, f"{file}:{rows.line_num}", from_us) for row in rows]
    except (UnicodeDecodeError, csv.Error) as fault:
        raise _invalid(file, f"不是 UTF-8 的 CSV：{fault}", f"it is no CSV in UTF-8: {fault}") from None
    return checked_cards(cards, file)


def checked_cards(cards: list[Card], where: str) -> list[Card]:
    """The cards, if they can be an inventory.

    Raises:
        MeteringError: `inventory-invalid`, with a finding for each serial number that is wrong.

    """
    if not 0 < len(cards) <= CARDS_MAX:
        raise _invalid(where, f"应有 1 至 {CARDS_MAX} 张卡", f"there must be 1 to {CARDS_MAX} cards")
    for card in cards:
        if not f"{card.serial}{card.model}".isprintable():
            raise _invalid(where, "序列号、型号应为可见字符", "serial and model must be printable")
    findings = inventory_findings(cards)
    if findings:
        first = findings[0]
        raise MeteringError(
            "inventory-invalid",
            f"{where}：序列号 {first.where} {first.zh}，共 {len(findings)} 处",
            f"{where}: serial number {first.where}: {first.en}; {len(findings)} in all",
            findings=findings[:100],
        )
    return cards


def _card(row: dict[str, Any], where: str, from_us: int) -> Card:
    serial, model = ((row.get(name) or "").strip() for name in ("serial", "model"))
    if None in row or not all(0 < len(text) <= SERIAL_MAX and text.isprintable() for text in (serial, model)):
        raise _invalid(where, "序列号、型号应为 1 至 64 个可见字符", "serial and model must have 1 to 64 characters")
    try:
        begin, end = (shanghai_day_us(date.fromisoformat(text)) if text else None for text in _days(row))
    except ValueError as fault:
        raise _invalid(where, f"日期应为 2026-01-01：{fault}", f"a day must look like 2026-01-01: {fault}") from None
    return Card(serial, model, from_us if begin is None else begin, INT64_MAX if end is None else end)


def _days(row: dict[str, Any]) -> tuple[str, str]:
    return (row.get("from") or "").strip(), (row.get("to") or "").strip()


def _invalid(where: str, zh: str, en: str) -> MeteringError:
    return MeteringError("inventory-invalid", f"{where}：{zh}", f"{where}: {en}")


def write_inventory(cards: Iterable[Card]) -> bytes:
    """Cards as the register keeps them: sorted, with the microseconds of their days."""
    lines = [f"{card.serial}\t{card.model}\t{card.from_us}\t{card.to_us}" for card in sorted(cards, key=_by_serial)]
    return "\n".join(lines).encode()


def _by_serial(card: Card) -> tuple[str, int]:
    return card.serial, card.from_us


def load_inventory(body: bytes) -> list[Card]:
    """Cards as `write_inventory` wrote them."""
    parts = (line.split("\t") for line in body.decode().split("\n"))
    return [Card(serial, model, int(begin), int(end)) for serial, model, begin, end in parts]


def capacity_steps(
    cards: Iterable[Card], register: AcceleratorRegister, now_us: int
) -> tuple[dict[str, list[tuple[int, int]]], dict[str, int]]:
    """Thousandths of cards by canonical model from each instant on; and how many cards have a word nobody registered.

    A word means what it means on the card's first day, or today where it was registered later.
    """
    changes: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    unknown: dict[str, int] = {}
    for card in cards:
        known = register.resolve(card.model, card.from_us) or register.resolve(card.model, now_us)
        if known is None:
            unknown[card.model] = unknown.get(card.model, 0) + 1
            continue
        changes[known.model][card.from_us] += WHOLE_MILLI
        changes[known.model][card.to_us] -= WHOLE_MILLI
    steps: dict[str, list[tuple[int, int]]] = {}
    for model, edges in sorted(changes.items()):
        level = 0
        for at_us, change in sorted(edges.items()):
            level += change
            if at_us < INT64_MAX and change:
                steps.setdefault(model, []).append((at_us, level))
    return steps, dict(sorted(unknown.items()))
