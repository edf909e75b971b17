"""Abuse checks about money: paybacks, double claims, two sides of one use, prices raised for the scheme, items out of place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from voucher.finding import Evidence, Suspicion, Thresholds


@dataclass(frozen=True, slots=True)
class Paid:
    """One settled bill: its price, the beneficiary's own share, what he proved to have paid, and his countersignature."""

    id: str
    beneficiary: str
    provider: str
    price_fen: int
    tariff_fen: int
    own_share_fen: int
    own_paid_fen: int
    confirmed: bool


def paybacks(bills: Iterable[Paid], tips: Iterable[tuple[str, str]], limits: Thresholds) -> Iterator[Suspicion]:
    """A1: the own share is not proved, the price is far above the registered tariff, no receipt is confirmed, somebody told.

    `tips` are provider and message. A bill with a single weak sign, an unconfirmed receipt, is no finding.
    """
    told: dict[str, list[str]] = defaultdict(list)
    for provider, message in tips:
        told[provider].append(message)
    for bill in bills:
        evidence = []
        if bill.own_paid_fen < bill.own_share_fen:
            evidence.append(Evidence("own_share_unproved_fen", str(bill.own_share_fen - bill.own_paid_fen), bill.id))
        if bill.price_fen * 100 > bill.tariff_fen * (100 + limits.price_over_tariff_percent):
            evidence.append(Evidence("price_over_tariff_fen", str(bill.price_fen - bill.tariff_fen), bill.id))
        evidence += [Evidence("tip", message, bill.provider) for message in told[bill.provider]]
        if evidence and not bill.confirmed:
            evidence.append(Evidence("receipt_unconfirmed", "true", bill.id))
        if evidence:
            yield Suspicion(
                "A1",
                bill.provider,
                f"账单 {bill.id} 有返还自付部分的迹象",
                f"the bill {bill.id} looks as if the own share was paid back",
                "自付的转账凭证与价格 / the transfer of the own share, and the price",
                tuple(evidence),
                bill.id,
            )


@dataclass(frozen=True, slots=True)
class Paper:
    """A contract or invoice of a claim: its key (hash, or number and issuer), and under which scheme it was used."""

    claim: str
    scheme: str
    kind: str
    key: str


def used_twice(papers: Iterable[Paper]) -> Iterator[Suspicion]:
    """A5: one contract or invoice in two claims, of one scheme or of two. Keys may be blinded: only equality counts."""
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for paper in papers:
        found[paper.kind, paper.key][paper.claim] = paper.scheme
    for (kind, key), claims in sorted(found.items()):
        if len(claims) > 1:
            schemes = sorted(set(claims.values()))
            yield Suspicion(
                "A5",
                key,
                f"同一 {kind} 用于 {len(claims)} 次申领，涉及 {len(schemes)} 个方案",
                f"one {kind} is in {len(claims)} claims of {len(schemes)} scheme(s)",
                "是否重复申领；叠加规则允许否 / whether it is a double claim, and what the stacking rule says",
                tuple(Evidence(kind, key, f"{scheme} {claim}") for claim, scheme in sorted(claims.items())),
                kind,
            )


def both_sides(claims: Iterable[tuple[str, str, str]]) -> Iterator[Suspicion]:
    """A7: supplier and demander claim the same use. `claims` are claim, side and usage record."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for claim, side, record in claims:
        found[record][side] = claim
    pairs: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for record, sides in found.items():
        if len(sides) > 1:
            pairs[tuple(sides[side] for side in sorted(sides))].append(record)
    for both, records in sorted(pairs.items()):
        yield Suspicion(
            "A7",
            both[0],
            f"{len(records)} 条用量被供需双方同时申领：{'、'.join(both)}",
            f"{len(records)} usage record(s) are claimed by both sides: {', '.join(both)}",
            "只能由一方申领 / only one side may claim",
            tuple(Evidence("usage_record", record, ", ".join(both)) for record in sorted(records)),
            ", ".join(both),
        )


def price_rises(
    tariffs: Mapping[tuple[str, str], Iterable[tuple[date, int]]], scheme_from: date, limits: Thresholds
) -> Iterator[Suspicion]:
    """A9: a price set shortly before the scheme's first day, or after it, lies above the median of the time before.

    `tariffs` are day of effect and price by centre and model. The median is over the days before, each with its price.
    """
    first = scheme_from - timedelta(days=limits.price_history_days)
    for (centre, model), history in sorted(tariffs.items()):
        ordered = sorted(history)
        before = sorted(_prices(ordered, first, scheme_from))
        if not before:
            continue
        median = before[(len(before) - 1) // 2]
        for day, price in ordered:
            since = day >= scheme_from - timedelta(days=limits.price_rise_days)
            if since and price * 100 > median * (100 + limits.price_rise_percent):
                yield Suspicion(
                    "A9",
                    centre,
                    f"{model} 自 {day} 起 {price}，实施前中位价 {median}",
                    f"{model} costs {price} from {day}, against a median of {median} before the scheme",
                    "提价的理由 / the reason of the rise",
                    (
                        Evidence("price", str(price), f"{day}"),
                        Evidence("median_before", str(median), f"{first} – {scheme_from}"),
                    ),
                    f"{model} {day} {scheme_from}",
                )


def _prices(ordered: list[tuple[date, int]], first: date, until: date) -> Iterator[int]:
    """The price of each day of a period on which there was one."""
    for day in (first + timedelta(days=offset) for offset in range((until - first).days)):
        known = [price for since, price in ordered if since <= day]
        if known:
            yield known[-1]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice: what it is claimed as, its amount, what it says, and what metering knows of it in fen."""

    claim: str
    kind: str
    amount_fen: int
    text: str
    metered_fen: int | None


WORDS = {
    "storage": ("存储", "硬盘", "storage"),
    "network": ("网络", "带宽", "专线", "network", "bandwidth"),
    "security": ("安全", "防火墙", "security", "firewall"),
}
"""What an invoice says of items that many schemes exclude."""


def misplaced_items(lines: Iterable[Line]) -> Iterator[Suspicion]:
    """A12: a line claimed as compute that speaks of something else, or is more than what was metered."""
    for line in lines:
        if line.kind != "compute":
            continue
        text = line.text.lower()
        evidence = [Evidence("says", word, kind) for kind, words in WORDS.items() for word in words if word in text]
        if line.metered_fen is not None and line.amount_fen > line.metered_fen:
            evidence.append(Evidence("over_metered_fen", str(line.amount_fen - line.metered_fen), line.claim))
        if evidence:
            yield Suspicion(
                "A12",
                line.claim,
                f"“{line.text}”按算力申领，含有不属于算力的内容",
                f"{line.text!r} is claimed as compute and does not look like it alone",
                "按费用类别拆分发票 / split the invoice by kind",
                tuple(evidence),
                line.text,
            )
