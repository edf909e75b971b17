"""What is known of a claim: typed facts, cost items and sums to date, read from the mapping of a case or a request.

Amounts are exact fractions of a fen; what is absent is unknown, never zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from ledger.amount import CNY, parse_units
from ledger.errors import Finding, LedgerError
from subsidy.facts import Dictionary, Facts, read_facts
from voucher.scheme import COST_KINDS

MICRO_YUAN_PER_FEN = 10_000
COST_ITEMS_MAX = 1000
FACTS_MAX = 200
DEPTH_MAX = 4
REGION_CHARACTERS_MAX = 60
Fen: TypeAlias = Fraction
Place: TypeAlias = Callable[[str], str]

_SUMS = ("year_to_date", "to_date", "programme", "override")
_REGION = "beneficiary.region"


class CostItem(NamedTuple):
    """One line of the bill."""

    kind: str
    fen: Fen


class OverrideRequest(NamedTuple):
    """A cap lifted case by case (一事一议), by whom and why."""

    cap_fen: Fen
    approved_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim on one scheme. `used` are sums by name, such as `year_to_date.claimed_yuan` or `to_date.redeemed_yuan`."""

    facts: Facts
    cost: tuple[CostItem, ...] | None
    used: Mapping[str, Fen]
    override: OverrideRequest | None

    def day(self, name: str) -> date | None:
        """The day that a fact gives, None if it is unknown."""
        value = self.facts.get(name)
        return value if isinstance(value, date) else None

    def number(self, name: str) -> int | None:
        """The integer that a fact gives."""
        value = self.facts.get(name)
        return value if isinstance(value, int) else None


def read_claim(
    dictionary: Dictionary, raw: Mapping[str, object], on: date, place: Place
) -> tuple[Claim, list[Finding]]:
    """The claim that `raw` describes, received on a day; a finding for each fact that is unknown or mistyped.

    `place` tells where a member was written, given its path (`contract/signed_on`). A finding `fact-unknown` is about a fact that no rule reads; the others about
    facts that cannot be used.
    """
    findings: list[Finding] = []
    plain = {name: value for name, value in raw.items() if name != "cost_items" and name not in _SUMS}
    flat = dict(itertools.islice(_flat(plain, ""), FACTS_MAX + 1))
    if len(flat) > FACTS_MAX:
        zh, en = f"事实至多 {FACTS_MAX} 项", f"there may be {FACTS_MAX} facts at most"
        findings.append(Finding("fact-malformed", zh, en, place("")))
        flat = {}
    region = flat.get(_REGION)
    if isinstance(region, str) and len(region) <= REGION_CHARACTERS_MAX:
        flat[_REGION] = prefixes(region)
    flat.setdefault("application.received_on", on)
    facts, found = read_facts(dictionary, flat, lambda name: place(name.replace(".", "/")))
    findings += found
    cost = _cost_items(raw.get("cost_items"), place, findings)
    used = dict(_sums(raw, place, findings))
    return Claim(facts, cost, used, _override(raw.get("override"), place, findings)), findings


def prefixes(region: str) -> list[str]:
    """Every beginning of a place name, so that `甲省乙市` is in `甲省`; a name is written from the province down."""
    return [region[:length] for length in range(1, len(region) + 1)]


def _flat(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, Mapping) and prefix.count(".") < DEPTH_MAX:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _yuan(written: object, where: str, findings: list[Finding]) -> Fen | None:
    plain = isinstance(written, str | int) and not isinstance(written, bool)
    try:
        return Fraction(parse_units(str(written) if plain else "", CNY), MICRO_YUAN_PER_FEN)
    except LedgerError:
        zh, en = '应为加引号的十进制元，如 "1234.50"', 'must be yuan as a decimal in quotes, such as "1234.50"'
        findings.append(Finding("fact-malformed", zh, f"{en}, not {written!r}", where))
        return None


def _cost_items(written: object, place: Place, findings: list[Finding]) -> tuple[CostItem, ...] | None:
    if written is None:
        return None
    if not isinstance(written, list) or len(written) > COST_ITEMS_MAX:
        zh, en = f"应为至多 {COST_ITEMS_MAX} 项的列表", f"must be a list of at most {COST_ITEMS_MAX} items"
        findings.append(Finding("fact-malformed", f"cost_items {zh}", f"`cost_items` {en}", place("cost_items")))
        return None
    items = []
    for at, item in enumerate(written):
        where = place(f"cost_items/{at}")
        if not isinstance(item, Mapping) or item.keys() != {"kind", "amount_yuan"} or item["kind"] not in COST_KINDS:
            words = ", ".join(COST_KINDS)
            zh, en = f"费用须有 kind（{words}）和 amount_yuan", f"an item has a kind ({words}) and an amount_yuan"
            findings.append(Finding("fact-malformed", zh, en, where))
            continue
        fen = _yuan(item["amount_yuan"], where, findings)
        if fen is not None:
            items.append(CostItem(item["kind"], fen))
    return tuple(items)


def _sums(raw: Mapping[str, object], place: Place, findings: list[Finding]) -> Iterator[tuple[str, Fen]]:
    for group in ("year_to_date", "to_date", "programme"):
        table = raw.get(group)
        if table is None:
            continue
        if not isinstance(table, Mapping):
            zh, en = f"{group} 应为“键: 值”", f"`{group}` must be a mapping"
            findings.append(Finding("fact-malformed", zh, en, place(group)))
            continue
        for name, written in table.items():
            fen = None if written is None else _yuan(written, place(f"{group}/{name}"), findings)
            if fen is not None:
                yield f"{group}.{name}", fen


def _override(written: object, place: Place, findings: list[Finding]) -> OverrideRequest | None:
    if written is None:
        return None
    wanted = {"cap_yuan", "approved_by", "reason"}
    if isinstance(written, Mapping) and written.keys() == wanted:
        cap = _yuan(written["cap_yuan"], place("override"), findings)
        names = written["approved_by"], written["reason"]
        if cap is not None and all(isinstance(name, str) and name.strip() for name in names):
            return OverrideRequest(cap, str(names[0]), str(names[1]))
    zh = "一事一议须写明 cap_yuan、approved_by（批准人）和 reason（理由）"
    en = "an override names cap_yuan, approved_by and reason"
    findings.append(Finding("fact-malformed", zh, en, place("override")))
    return None
