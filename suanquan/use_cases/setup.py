"""First steps of an installation: initialise a home, register centres and agent keys, bind accounts to holders."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import cbor2

from ledger.ed25519 import PublicKey
from ledger.entry import EntryKind, Event
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.transaction import Transaction
from metering import store as metering_store
from suanquan.access.acting import act_of
from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.catalog import Catalog
from suanquan.clock import ClockNs, clock_of
from suanquan.db import people, trail
from suanquan.db.database import Database
from suanquan.db.notices import put
from suanquan.db.tokens import create_token
from suanquan.decision_keys import create_decision_keys
from suanquan.errors import ServiceError
from suanquan.home import Home, create_home
from suanquan.notices.model import OFFICE, Notice, of_centre
from suanquan.notices.model import Kind as NoticeKind
from suanquan.service import create_ledger
from suanquan.settings import Settings
from suanquan.use_cases.log import create_log_keys
from voucher import store as voucher_store
from voucher.holder import check_uscc

CENTRE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
TEXT_MAX = 255
CARDS_MAX = 1_000_000
ADMINISTRATOR = "administrator"
FIRST = "admin"
"""The account that the first run makes."""
KEEPER = Principal("os:init", Role.OPERATOR)
"""Whoever keeps the home, as the audit log names him before there are accounts; no account can have the name."""


def initialise(home: Home, settings: Settings, passphrase: bytes, clock_ns: ClockNs | None = None) -> str:
    """Make a home whole and return the administrator's token, which cannot be shown again.

    An initialisation that was cut short is taken up again; a finished one is refused and left alone.
    """
    home.require_new()
    home.create_folder()
    token = asyncio.run(_first_token(home, settings, passphrase, clock_ns or clock_of(settings, home.sandbox_clock)))
    create_decision_keys(home, settings.issuer, passphrase)
    create_home(home, settings, passphrase)
    return token


async def _first_token(home: Home, settings: Settings, passphrase: bytes, clock_ns: ClockNs) -> str:
    place = home.place(settings)
    await create_ledger(home, place, settings.log_origin, clock_ns)
    database = Database(place)
    try:
        await create_log_keys(home, settings, database, passphrase, clock_ns)
        async with database.write() as connection:
            now_us = clock_ns() // 1000
            await people.add_person(connection, FIRST, now_us)
            await people.grant(connection, FIRST, people.Grant(ADMINISTRATOR, ""), "", now_us)
            await trail.append(connection, act_of(KEEPER, "account.make", FIRST), now_us)
            return await create_token(connection, ADMINISTRATOR, FIRST, now_us)
    finally:
        await database.close()


async def register_centre(
    journal: Journal, catalog: Catalog, centre: str, name: str, capacity: Mapping[str, int]
) -> None:
    """Register a centre with its card inventory: whole cards by model, in the centre's or the register's words.

    Raises:
        ServiceError: `centre-id-invalid`, `text-invalid`, `capacity-invalid` or `model-unknown`.

    """
    if not CENTRE_ID.fullmatch(centre):
        raise ServiceError(
            "centre-id-invalid",
            f"中心编号“{centre[:40]}”应为小写字母、数字与连字符，至多 32 个",
            f"the centre id {centre[:40]!r} must be lower-case letters, digits and hyphens, at most 32",
        )
    _check_text("名称", "name", name)

    async def write(tx: Transaction) -> None:
        cards = _cards(catalog, capacity, tx.now_ns // 1000)
        known = await metering_store.load_centres(tx.connection), await metering_store.load_capacity(tx.connection)
        if (known[0].get(centre), known[1].get(centre, {})) == (name, cards):
            return
        await metering_store.put_centre(tx.connection, centre, name, cards)
        await log_note(tx, {"type": "centre", "centre": centre, "name": name, "cards_milli": cards})

    await journal.transact(write)


def _cards(catalog: Catalog, capacity: Mapping[str, int], now_us: int) -> dict[str, int]:
    """Thousandths of cards by the register's name for their model."""
    cards: dict[str, int] = {}
    for word, count in capacity.items():
        if not 0 < count <= CARDS_MAX:
            raise ServiceError(
                "capacity-invalid",
                f"型号“{word}”的卡数应为 1 至 {CARDS_MAX}",
                f"cards of {word!r} must be 1 to {CARDS_MAX}",
            )
        card = catalog.accelerators.resolve(word, now_us)
        if card is None:
            raise ServiceError(
                "model-unknown",
                f"登记表中没有型号“{word}”",
                f"the register knows no card {word!r}",
                kind=Kind.NOT_FOUND,
            )
        cards[card.model] = cards.get(card.model, 0) + count * 1000
    return cards


async def register_agent_key(journal: Journal, centre: str, public: PublicKey) -> None:
    """Let a key report for a centre.

    Raises:
        ServiceError: `centre-unknown`, `key-taken` by another centre, or `key-ended`.

    """

    async def write(tx: Transaction) -> None:
        if centre not in await metering_store.load_centres(tx.connection):
            raise _unknown_centre(centre)
        registered = await metering_store.find_agent_key(tx.connection, public.kid)
        if registered is not None and registered.centre != centre:
            raise ServiceError(
                "key-taken", "该密钥已属另一中心", "this key belongs to another centre", kind=Kind.CONFLICT
            )
        if registered is not None and registered.revoked_us is not None:
            raise ServiceError(
                "key-ended",
                "该密钥已停用，请生成新的",
                "this key was ended; make a new one",
                kind=Kind.CONFLICT,
            )
        if registered is None:
            await metering_store.add_agent_key(tx.connection, public.kid, public.raw, centre)
            await log_note(tx, {"type": "agent-key", "centre": centre, "kid": public.kid})
            await tell_of_key(tx, centre, public.kid, ended=False)

    await journal.transact(write)


async def register_scheduler(journal: Journal, centre: str) -> str:
    """Make a token with which a centre's scheduler may ask for advice on its own accounts; it is shown once.

    Raises:
        ServiceError: `centre-unknown`.

    """

    async def write(tx: Transaction) -> str:
        if centre not in await metering_store.load_centres(tx.connection):
            raise _unknown_centre(centre)
        token = await create_token(tx.connection, "scheduler", centre, tx.now_ns // 1000, tenant=centre)
        await log_note(tx, {"type": "scheduler-token", "centre": centre})
        return token

    return await journal.transact(write)


async def bind_account(journal: Journal, centre: str, account: str, holder: str) -> None:
    """Say whose vouchers pay for an account of a centre's scheduler.

    Raises:
        DomainError: `centre-unknown`, `text-invalid`, or no valid unified social credit code.

    """
    check_uscc(holder)
    _check_text("账户", "account", account)

    async def write(tx: Transaction) -> None:
        if centre not in await metering_store.load_centres(tx.connection):
            raise _unknown_centre(centre)
        if (centre, account, holder) not in await voucher_store.load_bindings(tx.connection):
            await voucher_store.bind_account(tx.connection, centre, account, holder)
            await log_note(tx, {"type": "binding", "centre": centre, "account": account, "holder": holder})

    await journal.transact(write)


def _check_text(zh: str, en: str, text: str) -> None:
    if not 0 < len(text) <= TEXT_MAX or not text.isprintable():
        raise ServiceError(
            "text-invalid",
            f"{zh}应为 1 至 {TEXT_MAX} 个可见字符",
            f"the {en} must be 1 to {TEXT_MAX} printable characters",
        )


def _unknown_centre(centre: str) -> ServiceError:
    return ServiceError(
        "centre-unknown", f"没有登记中心“{centre}”", f"no centre {centre!r} is registered", kind=Kind.NOT_FOUND
    )


async def tell_of_key(tx: Transaction, centre: str, kid: str, *, ended: bool) -> None:
    """Tell a centre and the office that a key may report for it, or may no more: whoever did not expect it asks."""
    zh, en = ("已停用，不能再上报", "was ended and reports no more") if ended else ("可以上报", "may report")
    words = f"中心 {centre} 的代理密钥 {kid[:8]}… {zh}", f"the agents' key {kid[:8]}… of centre {centre} {en}"
    for audience in (of_centre(centre), OFFICE):
        notice = Notice(NoticeKind.AGENT_KEY, audience, kid, *words, {"centre": centre, "kid": kid, "ended": ended})
        await put(tx.connection, notice, tx.now_ns // 1000)


async def log_note(tx: Transaction, fact: Mapping[str, object]) -> None:
    """Who may report and whose vouchers pay decides about money, so that each change stands in the log, too.

    A plain digest would tell whoever guesses the fact; this one only the ledger can make.
    """
    payload = cbor2.dumps(fact, canonical=True)
    digest = tx.keyed(tx.size.to_bytes(8) + payload)
    await tx.append([Event(EntryKind.NOTE, digest[:16], digest, salt=tx.entropy(32), payload=payload)])
