"""Advice to schedulers, read beside the writer: no transaction waits for it, and it waits for none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ledger.amount import ASSETS_BY_NUMBER, CNY, format_units
from ledger.errors import Kind
from metering import store as metering_store
from metering.model import Accelerator
from metering.zones import rfc3339
from suanquan.access.principal import Principal
from suanquan.db.tokens import principal_beside
from suanquan.errors import ServiceError
from suanquan.service import Service
from suanquan.use_cases.overview import capacities
from voucher import purse_store
from voucher.advice import Advice, Job, Need, advise
from voucher.allocation import Purse, burn_down_order
from voucher.scheme import Series
from voucher.store import BoundVoucher

CARDS_MILLI_MAX = 1_000_000_000
HOURS_MAX = 90 * 24
MODELS_MAX = 16
REGISTERS_US = 2_000_000
"""How long capacities are kept in memory: a change is heeded at most this much later."""
DESK = "advice"
"""Name of the connection that questions are answered on."""
Spendable = tuple[bool, list[tuple[BoundVoucher, int]]]
"""Whether an account belongs to a holder, and its vouchers with what they have available."""
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class Question(NamedTuple):
    """Whether an account may start a job of these cards for so long at a centre."""

    centre: str
    account: str
    cards: tuple[Accelerator, ...]
    active_ms: int
    need: Need


def question(
    centre: str,
    account: str,
    models: Sequence[str],
    cards: Sequence[str],
    time: str,
    need: str,
    *,
    in_hours: bool = True,
) -> Question:
    """A question as it is asked: models and numbers of cards in pairs, decimal strings; time in hours or seconds.

    Raises:
        ServiceError: `advice-malformed`, naming the member and what to write.

    """
    if not 0 < len(models) == len(cards) <= MODELS_MAX:
        raise malformed(
            "cards", f"与 model 成对，1 至 {MODELS_MAX} 对", f"come in pairs with model, 1 to {MODELS_MAX} of them"
        )
    if need not in {one.value for one in Need}:
        raise malformed("need", "应为 full、some、none 之一", "is full, some or none")
    if not 0 < len(account) <= 255 or not account.isprintable():
        raise malformed("account", "应为 1 至 255 个可见字符", "has 1 to 255 printable characters")
    parts = tuple(
        Accelerator(model, _thousandths(count, "cards", CARDS_MILLI_MAX))
        for model, count in zip(models, cards, strict=True)
    )
    name, most, scale = ("hours", HOURS_MAX, 3_600_000) if in_hours else ("seconds", HOURS_MAX * 3600, 1000)
    active_ms = _thousandths(time, name, most * 1000, scale)
    return Question(centre, account, parts, active_ms, Need(need))


def _thousandths(text: str, name: str, most: int, scale: int = 1000) -> int:
    """A positive decimal in thousandths (or in other parts of one), rounded up: asking for less than is used helps nobody."""
    value = Decimal(text) if _DECIMAL.fullmatch(text) else Decimal(0)
    if not 0 < value * 1000 <= most:
        raise malformed(
            name, f"应为大于 0、至多 {most // 1000} 的十进制数", f"is a decimal above 0, at most {most // 1000}"
        )
    return int(-(-value * scale // 1))


def malformed(name: str, zh: str, en: str) -> ServiceError:
    """The refusal of a question that cannot be understood."""
    return ServiceError("advice-malformed", f"{name} {zh}", f"{name} {en}")


class Desk:
    """Answers questions; the registers of centres are read again every few seconds, balances for each question.

    A question is one visit to the database, on a connection of the desk's own: a pool's transaction takes a dozen.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._read_at_us = -REGISTERS_US
        self._capacity: dict[str, Mapping[str, int]] = {}
        self._turn = asyncio.Lock()

    async def ask(self, asked: Question) -> dict[str, Any]:
        """The advice, with its reasons and the balance.

        Raises:
            ServiceError: `centre-unknown`.

        """
        async with self._turn, self._service.database.peek(DESK) as connection:
            found = await purse_store.spendable_by(connection, asked.centre, asked.account)
        return await self.advise(asked, found)

    async def look(self, asked: Question, token: str) -> tuple[Principal | None, Spendable]:
        """Who shows this token, and what the account in question may spend: both in one visit, before it is told to anybody."""
        statements = purse_store.spendable_statements(asked.centre, asked.account)
        async with self._turn, self._service.database.peek(DESK) as connection:
            who, rows = await principal_beside(connection, token, self._service.now_us, statements)
        return who, purse_store.spendable_in(asked.account, *rows)

    async def advise(self, asked: Question, found: Spendable) -> dict[str, Any]:
        """The advice on what an account may spend.

        Raises:
            ServiceError: `centre-unknown`.

        """
        service, now_us = self._service, self._service.now_us
        if asked.centre not in self._capacity or not 0 <= now_us - self._read_at_us < REGISTERS_US:
            async with service.database.read() as connection:
                registered = await capacities(connection, now_us)
                centres = await metering_store.load_centres(connection)
            self._capacity = {centre: registered.get(centre, {}) for centre in centres}
            self._read_at_us = now_us
        if asked.centre not in self._capacity:
            raise ServiceError(
                "centre-unknown",
                f"没有登记中心“{asked.centre[:40]}”",
                f"no centre {asked.centre[:40]!r} is registered",
                kind=Kind.NOT_FOUND,
            )
        bound, rows = found
        purses = purses_of(rows, asked.centre, service.catalog.series)
        in_force = [purse for purse in purses if purse.from_us <= now_us < purse.until_us]
        job, tariffs = Job(asked.cards, now_us, asked.active_ms), service.catalog.tariffs(asked.centre)
        to_come = [purse for purse in purses if now_us < purse.until_us]
        told = advise(job, to_come, tariffs, asked.need, self._capacity[asked.centre], bound=bound)
        return _told(asked, told, in_force, now_us)


def purses_of(rows: Sequence[tuple[BoundVoucher, int]], centre: str, schemes: Mapping[str, Series]) -> list[Purse]:
    """Purses of vouchers with what they have available, as far as they may be used at a centre, in the order they are drawn."""
    purses = []
    for row, available in rows:
        series = schemes.get(row.scheme)
        scheme = (series.at(row.issued_us) or series.latest) if series else None
        if scheme is None or available <= 0 or (scheme.centres is not None and centre not in scheme.centres):
            continue
        purses.append(
            Purse(
                row.jti, row.scheme, row.account, ASSETS_BY_NUMBER[row.asset], available, row.from_us, row.until_us,
                row.priority, scheme.accelerators,
            )
        )  # fmt: skip
    return burn_down_order(purses)


def _told(asked: Question, found: Advice, purses: Sequence[Purse], now_us: int) -> dict[str, Any]:
    balance: dict[str, int] = {}
    for purse in purses:
        balance[purse.asset.code] = balance.get(purse.asset.code, 0) + purse.available
    assets = {asset.code: asset for asset in ASSETS_BY_NUMBER.values()}
    return {
        "allowed": found.allowed,
        "centre": asked.centre,
        "account": asked.account,
        "cards": {part.model: format_units_milli(part.count_milli) for part in asked.cards},
        "active_ms": asked.active_ms,
        "need": asked.need.value,
        "price_yuan": format_units(found.price, CNY),
        "covered_yuan": format_units(found.covered, CNY),
        "self_pay_yuan": format_units(found.price - found.covered, CNY),
        "covered_ms": found.covered_ms,
        "balance": {code: format_units(units, assets[code]) for code, units in balance.items()},
        "vouchers": [
            {
                "jti": purse.jti,
                "unit": purse.asset.code,
                "available": format_units(purse.available, purse.asset),
                "valid_until": rfc3339(purse.until_us),
            }
            for purse in purses
        ],
        "reasons": [{"code": one.code, "title": one.zh, "detail": one.en} for one in found.reasons],
        "as_of": rfc3339(now_us),
    }


def format_units_milli(count_milli: int) -> str:
    """Thousandths as a decimal string."""
    whole, rest = divmod(count_milli, 1000)
    return f"{whole}.{rest:03d}".rstrip("0").rstrip(".") if rest else str(whole)


def in_words(advice: Mapping[str, Any]) -> str:
    """An advice for scripts: `allow` or `refuse` on the first line, then reasons and the balance for people."""
    lines = ["allow" if advice["allowed"] else "refuse"]
    lines += [f"{one['title']} / {one['detail']}" for one in advice["reasons"]]
    balance = "，".join(f"{amount} {unit}" for unit, amount in advice["balance"].items()) or "0"
    lines.append(
        f"需 needs {advice['price_yuan']} 元 yuan，券可付 vouchers pay {advice['covered_yuan']} 元 yuan；可用 available {balance}"
    )
    return "\n".join(lines) + "\n"
