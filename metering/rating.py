"""Rating a batch: each record once, on its own, by event time, rounded down; then summed per account, model and month.

A record that lies in the time of several prices pays each for its part of the time (`metering.tariff.pieces_of`).

Columns of int64, never float: sums that could leave int64 are done in Python integers (object columns) instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ledger.amount import INT64_MAX
from ledger.split import split
from metering.batch import Batch
from metering.compact import Part
from metering.course import Course, Span
from metering.model import UsageRecord
from metering.months import MONTH_STARTS, Column, month_index, month_name, month_shares
from metering.prices import GFLOPS_MS_PER_COMPUTE_UNIT, MS_PER_HOUR
from metering.tariff import Piece, Tariff, Tariffs, pieces_of, worth_by_time

__all__ = [
    "AccountUsage",
    "Line",
    "LineKey",
    "Rated",
    "Tariff",
    "Tariffs",
    "difference",
    "rate",
    "rate_one",
    "sums_by",
]


@dataclass(slots=True)
class Line:
    """Sums over the records of one account, card model and month. Amounts are in units of CNY and PFLOPS.h."""

    records: int = 0
    gpu_ms: int = 0
    yuan: int = 0
    compute: int = 0

    def add(self, records: int, gpu_ms: int, yuan: int, compute: int) -> None:
        """Add sums of further records."""
        self.records += records
        self.gpu_ms += gpu_ms
        self.yuan += yuan
        self.compute += compute


LineKey = tuple[str, str, int]
"""Account, card model, month (2017-09 is 201709)."""


@dataclass(slots=True)
class AccountUsage:
    """An account's rated records together: enough to pay them as one while every voucher may pay for every one of them.

    `first_us` and `last_us` are the earliest and the latest instant of use; `named` says that some record names its voucher. `own` of
    the yuan no voucher may pay.
    """

    records: int
    gpu_ms: int
    yuan: int
    first_us: int
    last_us: int
    models: set[str] = field(default_factory=set)
    named: bool = False
    own: int = 0


@dataclass(slots=True)
class Rated:
    """A batch with its prices, one column element per chosen record.

    `held` gives, by batch column index, why a record waits for a person: it is never rated as zero. `own` is what of `yuan`
    no voucher may pay. `courses` has the records, by place, in whose time a price changes.
    """

    index: list[int]
    gpu_ms: Column
    yuan: Column
    own: Column
    compute: Column
    models: list[tuple[str, ...]]
    held: dict[int, str]
    lines: dict[LineKey, Line] = field(default_factory=dict)
    accounts: dict[str, AccountUsage] = field(default_factory=dict)
    courses: dict[int, Course] = field(default_factory=dict)

    def course(self, place: int, start_us: int, end_us: int) -> Course:
        """How what a record costs comes up over its time."""
        if place in self.courses:
            return self.courses[place]
        yuan, own = int(self.yuan[place]), int(self.own[place])
        return (Span(start_us, end_us, yuan - own, own, int(self.compute[place])),)


def difference(before: Mapping[LineKey, Line], after: Mapping[LineKey, Line]) -> dict[LineKey, Line]:
    """What lines are more than earlier ones, without those that are the same."""
    lines = {key: Line(-one.records, -one.gpu_ms, -one.yuan, -one.compute) for key, one in before.items()}
    for key, one in after.items():
        lines.setdefault(key, Line()).add(one.records, one.gpu_ms, one.yuan, one.compute)
    return {key: line for key, line in lines.items() if line != Line()}


_NONE: Mapping[int, str] = {}


class _Parts(NamedTuple):
    """Cards of the chosen records: for each part its record (a place in `index`), model word and thousandths of a card."""

    record: Column
    words: list[str]
    count_milli: Column


def rate(batch: Batch, tariffs: Tariffs, chosen: Sequence[int], waiting: Mapping[int, str] = _NONE) -> Rated:
    """Rate the records at the chosen column indices (those that are new), but for those that are `waiting` for a reason.

    Yuan = ⌊Σ GPU-ms × price / 3,600,000⌋ and PFLOPS·h = ⌊Σ GPU-ms × GFLOPS / 3,600⌋ in ledger units, once per record.
    """
    times = _Times(*(_column([column[index] for index in chosen]) for column in (batch.start_us, batch.end_us)))
    active_ms = _column([batch.active_ms[index] for index in chosen])
    parts = _parts([batch.accelerators[index] for index in chosen])
    milliseconds = _times(parts.count_milli, active_ms[parts.record]) // 1000
    found, changing, unknown = _tariffs_of(parts, times, milliseconds, tariffs)
    costs = _costs(parts, milliseconds, found, changing)
    size = len(chosen)
    rated = Rated(
        list(chosen),
        _per_record(milliseconds, parts.record, size),
        _per_record(costs.yuan, parts.record, size) // MS_PER_HOUR,
        _per_record(costs.own, parts.record, size) // MS_PER_HOUR,
        _per_record(costs.compute, parts.record, size) // GFLOPS_MS_PER_COMPUTE_UNIT,
        _names(found, parts.record, size),
        dict(waiting) | {chosen[place]: "model-unknown" for place in unknown},
    )
    if waiting:
        unknown |= {place for place, index in enumerate(chosen) if index in waiting}
    for column in (rated.gpu_ms, rated.yuan, rated.own, rated.compute):
        column[sorted(unknown)] = 0
    known = np.ones(size, dtype=bool)
    known[sorted(unknown)] = False
    accounts = _Accounts(*_numbered([batch.account[index] for index in chosen]))
    several = len(parts.words) != size
    _sum_lines(rated, accounts, times, several, known)
    for place in np.flatnonzero(known & (several | _crosses_months(times))).tolist():
        _sum_shares(rated, batch, place, _pieces(parts, place, found, changing) if changing else ())
    for place in {int(parts.record[at]) for at in changing}:
        if known[place]:
            rated.courses[place] = _course(rated, batch, place, _pieces(parts, place, found, changing))
    _sum_accounts(rated, batch, accounts, times, known)
    return rated


def rate_one(record: UsageRecord, tariffs: Tariffs) -> int:
    """Units of CNY that one record costs; 0 while its card or price is unknown."""
    price = 0
    for part in record.accelerators:
        gpu_ms = part.count_milli * record.active_ms // 1000
        pieces = pieces_of(part.model, gpu_ms, record.start_us, record.end_us, tariffs)
        if pieces is None:
            return 0
        price += sum(piece.cost(part.count_milli) for piece in pieces)
    return price // MS_PER_HOUR


def _column(values: Sequence[int]) -> Column:
    return np.array(values, dtype=np.int64)


def _parts(accelerators: Sequence[tuple[Part, ...]]) -> _Parts:
    if set(map(len, accelerators)) <= {1}:
        cards = [part for (part,) in accelerators]
        record = np.arange(len(cards))
    else:
        cards = [part for some in accelerators for part in some]
        record = np.repeat(np.arange(len(accelerators)), [len(some) for some in accelerators])
    return _Parts(record, [model for model, _ in cards], _column([count for _, count in cards]))


class _Costs(NamedTuple):
    """Of each part: what it costs, what of that no voucher pays, and what it computes, each times its milliseconds."""

    yuan: Column
    own: Column
    compute: Column


def _costs(parts: _Parts, milliseconds: Column, found: list[Tariff], changing: Mapping[int, list[Piece]]) -> _Costs:
    price, own = _prices(found, parts.count_milli)
    gflops = _column([tariff.gflops for tariff in found])
    for place, pieces in changing.items():  # the largest of each, so that the products have room
        count_milli = int(parts.count_milli[place])
        price[place] = max(piece.tariff.price(count_milli) for piece in pieces)
        own[place] = max(piece.tariff.own_price(count_milli) for piece in pieces)
        gflops[place] = max(piece.tariff.gflops for piece in pieces)
    costs = _Costs(*(_times(milliseconds, column) for column in (price, own, gflops)))
    for place, pieces in changing.items():
        count_milli = int(parts.count_milli[place])
        costs.yuan[place] = sum(piece.cost(count_milli) for piece in pieces)
        costs.own[place] = sum(piece.gpu_ms * piece.tariff.own_price(count_milli) for piece in pieces)
        costs.compute[place] = sum(piece.gpu_ms * piece.tariff.gflops for piece in pieces)
    return costs


def _prices(found: list[Tariff], count_milli: Column) -> tuple[Column, Column]:
    """Price of each part, and what of it no voucher pays."""
    if not any(tariff.parts for tariff in found):
        return _column([tariff.micro_yuan_per_gpu_hour for tariff in found]), np.zeros(len(found), dtype=np.int64)
    pairs = list(zip(found, count_milli.tolist(), strict=True))
    return _column([tariff.price(count) for tariff, count in pairs]), _column([t.own_price(n) for t, n in pairs])


_UNKNOWN = Tariff("", 0, 0, 0, 0)


def _tariffs_of(
    parts: _Parts, times: _Times, milliseconds: Column, tariffs: Tariffs
) -> tuple[list[Tariff], dict[int, list[Piece]], set[int]]:
    """Tariff of each part at its start, pieces of parts in whose time it changes, and records of which a card has none.

    A tariff is asked for once while it lasts.
    """
    if len(times.start_us):
        first, last = int(times.start_us.min()), max(int(times.start_us.max()), int(times.end_us.max()) - 1)
        spans = {word: tariffs(word, first) or _UNKNOWN for word in set(parts.words)}
        if all(tariff.until_us > last for tariff in spans.values()):
            return [spans[word] for word in parts.words], {}, set()
    found: list[Tariff] = []
    changing: dict[int, list[Piece]] = {}
    unknown: set[int] = set()
    current: dict[str, Tariff] = {}
    columns = (column[parts.record].tolist() for column in times)
    rows = zip(parts.words, parts.record.tolist(), *columns, milliseconds.tolist(), strict=True)
    for place, (word, record, start_us, end_us, gpu_ms) in enumerate(rows):
        if not current.get(word, _UNKNOWN).lasts(start_us, end_us):
            pieces = pieces_of(word, gpu_ms, start_us, end_us, tariffs)
            current[word] = pieces[0].tariff if pieces else _UNKNOWN
            if pieces is None:
                unknown.add(record)
            elif len(pieces) > 1:
                changing[place] = pieces
        found.append(current[word])
    return found, changing, unknown


def _times(left: Column, right: Column) -> Column:
    """Exact products: in Python integers where int64 could overflow."""
    if len(left) and int(left.max()) * int(right.max()) > INT64_MAX:
        left = left.astype(object)
    return left * right


def _per_record(values: Column, record: Column, size: int) -> Column:
    return values if len(values) == size else sums_by(values, record, size)


def sums_by(values: Column, groups: Column, size: int) -> Column:
    """Exact sums of `values` by group number."""
    wide = len(values) and int(values.max()) * len(values) > INT64_MAX
    sums = np.zeros(size, dtype=object if wide else np.int64)
    np.add.at(sums, groups, values)
    return sums


def _names(found: list[Tariff], record: Column, size: int) -> list[tuple[str, ...]]:
    if len(found) == size:
        single = {tariff.model: (tariff.model,) for tariff in set(found)}
        return [single[tariff.model] for tariff in found]
    names: list[tuple[str, ...]] = [()] * size
    for tariff, place in zip(found, record.tolist(), strict=True):
        names[place] += (tariff.model,)
    return names


class _Accounts(NamedTuple):
    """Distinct accounts, and the number of each record's account among them."""

    names: list[str]
    number: Column


class _Times(NamedTuple):
    """Intervals of the records."""

    start_us: Column
    end_us: Column


def _crosses_months(times: _Times) -> Column:
    return month_index(times.end_us - 1) > month_index(times.start_us)


def _numbered(names: Sequence[str]) -> tuple[list[str], Column]:
    """Distinct names, and the place of each name among them."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return list(numbers), _column([numbers[name] for name in names])


def _sum_lines(rated: Rated, accounts: _Accounts, times: _Times, several: bool, known: Column) -> None:
    """Sums per account, model and month: whole columns where a record lies in one month, one by one where it does not."""
    models, model = _numbered([names[0] if names else "" for names in rated.models])
    whole = known & ~_crosses_months(times) & (not several)
    month = month_index(times.start_us)
    keys = ((accounts.number * len(models) + model) * len(MONTH_STARTS) + month)[whole]
    distinct, group = np.unique(keys, return_inverse=True)
    columns = (np.ones_like(group), rated.gpu_ms[whole], rated.yuan[whole], rated.compute[whole])
    sums = [sums_by(column, group, len(distinct)).tolist() for column in columns]
    for key, *amounts in zip(distinct.tolist(), *sums, strict=True):
        pair, at = divmod(key, len(MONTH_STARTS))
        name = accounts.names[pair // len(models)], models[pair % len(models)], month_name(at)
        rated.lines[name] = Line(*amounts)


def _sum_accounts(rated: Rated, batch: Batch, accounts: _Accounts, times: _Times, known: Column) -> None:
    """What each account owes in this batch, and the times of its records."""
    group, size, starts = accounts.number[known], len(accounts.names), times.start_us[known]
    first, last = np.full(size, INT64_MAX), np.full(size, -INT64_MAX)
    np.minimum.at(first, group, starts)
    np.maximum.at(last, group, np.maximum(starts, times.end_us[known] - 1))
    sums = [sums_by(column, group, size) for column in (np.ones_like(starts), rated.gpu_ms[known], rated.yuan[known])]
    rows = zip(*(column.tolist() for column in (*sums, first, last)), strict=True)
    for account, row in zip(accounts.names, rows, strict=True):
        if row[0]:
            rated.accounts[account] = AccountUsage(*row)
    if rated.own.any():
        for account, own in zip(accounts.names, sums_by(rated.own[known], group, size).tolist(), strict=True):
            if account in rated.accounts:
                rated.accounts[account].own = own
    for account, model, _ in rated.lines:
        rated.accounts[account].models.add(model)
    if any(batch.voucher):
        for index in rated.index:
            if batch.voucher[index] is not None and index not in rated.held:
                rated.accounts[batch.account[index]].named = True


def _pieces(
    parts: _Parts, place: int, found: list[Tariff], changing: Mapping[int, list[Piece]]
) -> Sequence[list[Piece]]:
    """Pieces of each card of a record, if the tariff of one of them changes."""
    places = np.flatnonzero(parts.record == place).tolist()
    if changing.keys().isdisjoint(places):
        return ()
    return [changing.get(at) or [Piece(0, found[at], -INT64_MAX, INT64_MAX)] for at in places]


def _course(rated: Rated, batch: Batch, place: int, pieces: Sequence[list[Piece]]) -> Course:
    """The spans of a record in which none of its tariffs changes, each with what it was worth; they add up."""
    index = rated.index[place]
    start_us, end_us = batch.start_us[index], batch.end_us[index]
    cuts = {one.start_us for some in pieces for one in some if start_us < one.start_us < end_us}
    edges = [start_us, *sorted(cuts), end_us]
    lengths = [(0, until - since) for since, until in pairwise(edges)]
    cards = batch.accelerators[index]

    def parts(total: int, value: Callable[[Tariff, int], int]) -> list[int]:
        worth = worth_by_time(start_us, lengths, cards, pieces, value)
        weights = [sum(worth[at : at + len(cards)]) for at in range(0, len(worth), len(cards))]
        return split(total, weights if any(weights) else [length for _, length in lengths])

    yuan, own = int(rated.yuan[place]), int(rated.own[place])
    columns = (
        parts(yuan - own, lambda tariff, count: tariff.price(count) - tariff.own_price(count)),
        parts(own, Tariff.own_price),
        parts(int(rated.compute[place]), lambda tariff, _: tariff.gflops),
    )
    return tuple(Span(*edge, *amounts) for edge, *amounts in zip(pairwise(edges), *columns, strict=True))


def _sum_shares(rated: Rated, batch: Batch, place: int, pieces: Sequence[list[Piece]]) -> None:
    """Spread a record over its months and models so that the parts add up to the last unit.

    By time and cards; where a tariff changes, yuan and compute by what each card was worth in each month.
    """
    index = rated.index[place]
    start_us = batch.start_us[index]
    shares = month_shares(start_us, batch.end_us[index])
    cards = batch.accelerators[index]
    weights = [share * count for _, share in shares for _, count in cards]
    keys = [(month, name) for month, _ in shares for name in rated.models[place]]
    yuan = compute = weights
    if pieces:
        yuan = worth_by_time(start_us, shares, cards, pieces, Tariff.price)
        compute = worth_by_time(start_us, shares, cards, pieces, lambda tariff, _: tariff.gflops)
    amounts = ((rated.gpu_ms, weights), (rated.yuan, yuan), (rated.compute, compute))
    spread = [split(int(column[place]), by if any(by) else weights) for column, by in amounts]
    for at, (month, name) in enumerate(keys):
        line = rated.lines.setdefault((batch.account[index], name, month), Line())
        line.add(int(at == 0), spread[0][at], spread[1][at], spread[2][at])
