"""The composition root: one object that holds what every surface (HTTP, command line, jobs) works with."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from ledger import store as ledger_store
from ledger.entry import Entry, EntryKind, Event
from ledger.errors import Kind
from ledger.journal import Journal, T, Work
from ledger.transaction import Chain, Outcome, Transaction
from suanquan.catalog import Catalog, load_catalog
from suanquan.db.database import Database
from suanquan.db.place import Place
from suanquan.db.schema import require_head, upgrade
from suanquan.decoding import BatchDecoder
from suanquan.errors import ServiceError
from suanquan.home import Home, another_issuer
from suanquan.settings import Settings, load_settings
from suanquan.use_cases.catalogue import find_scheme
from suanquan.use_cases.ingest import Issuer, Rules
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.log import Log, open_log
from suanquan.use_cases.office import Office, open_office
from suanquan.use_cases.watch import Watch
from suanquan.use_cases.witnessing import check_witnesses
from voucher.issuance import IssueRequest
from voucher.keys import KeyRegistry
from voucher.store import StoredVoucher


class GuardedJournal(Journal):
    """A journal that looks before its first write whether its database is the newest there was of the log."""

    guard: Callable[[], Awaitable[None]] | None = None

    async def _pass(self) -> None:
        if self.guard is not None:
            await self.guard()
            self.guard = None

    async def transact(self, work: Work[T], *, own_sql: bool = True, keeps_memo: bool = False) -> T:
        """See `Journal.transact`."""
        await self._pass()
        return await super().transact(work, own_sql=own_sql, keeps_memo=keeps_memo)

    async def submit(self, *events: Event) -> list[Entry]:
        """See `Journal.submit`."""
        await self._pass()
        return await super().submit(*events)

    async def bulk(self, chains: Sequence[Chain], *, all_or_nothing: bool = False) -> list[Outcome]:
        """See `Journal.bulk`."""
        await self._pass()
        return await super().bulk(chains, all_or_nothing=all_or_nothing)


@dataclass(slots=True)
class Service:
    """An opened home. `sign` is None where no passphrase was given: then nothing can be issued or received."""

    home: Home
    settings: Settings
    catalog: Catalog
    keys: KeyRegistry
    database: Database
    journal: GuardedJournal
    log: Log
    office: Office
    sign: Callable[[bytes], bytes] | None = None
    decoder: BatchDecoder = field(default_factory=BatchDecoder)
    watch: Watch = field(default_factory=Watch)

    @property
    def now_us(self) -> int:
        """UTC epoch microseconds."""
        return time.time_ns() // 1000

    @property
    def issuer(self) -> Issuer:
        """Who signs receipts."""
        assert self.sign is not None, "opened without the signing key"
        return Issuer(self.keys.issuer, self.keys.signing_key().kid, self.sign)

    @property
    def rules(self) -> Rules:
        """What usage is rated and paid by."""
        return Rules(self.catalog.tariffs, self.catalog.schemes, self.catalog.digest)

    async def check_history(self) -> None:
        """Refuse a database that is older than what was signed of its log, or has another history.

        Raises:
            ServiceError: `database-rolled-back`.

        """
        await self.log.check_head_file()
        await check_witnesses(self.log)

    async def issue(self, scheme_id: str, request: IssueRequest, key: str | None = None) -> StoredVoucher:
        """Issue a voucher under a scheme of the catalogue; `key` makes the request repeatable.

        Raises:
            DomainError: unknown scheme, or what `issue` refuses.

        """
        scheme = find_scheme(self.catalog.schemes, scheme_id)
        order = Order(request, scheme, key or secrets.token_hex(16))
        return await issue(self.journal, order, self.keys, self.issuer.sign)


@contextlib.asynccontextmanager
async def open_service(home: Home, passphrase: bytes | None = None) -> AsyncIterator[Service]:
    """Open a home: check its schema, read its configuration, start the writer; on leaving, finish and close.

    Raises:
        DomainError: what is missing or wrong in the home, with what to do.

    """
    home.require()
    settings = load_settings(home.settings_file)
    place = home.place(settings)
    require_head(place)
    database = Database(place)
    log = open_log(home, settings, database, passphrase)
    journal = GuardedJournal(database, time.time_ns, secrets.token_bytes)
    office = open_office(home, settings, passphrase)
    service = Service(home, settings, load_catalog(home.config), home.load_registry(), database, journal, log, office)
    journal.guard = service.check_history
    if passphrase is not None:
        service.sign = home.load_signing_key(passphrase).sign
    try:
        async with journal.running():
            yield service
    finally:
        service.decoder.close()
        await database.close()


async def create_ledger(home: Home, place: Place, origin: str) -> None:
    """Make the database of a new home and its log, whose first entry fixes assets and scales; a second call does nothing.

    Raises:
        ServiceError: `home-of-another-issuer`, or `database-in-use` by another home.

    """
    upgrade(place)
    database = Database(place)
    try:
        async with database.write() as connection:
            head = await ledger_store.load_head(connection)
            if head is None:
                await ledger_store.create_log(connection, origin, secrets.token_bytes(32))
            elif head.origin != origin:
                raise another_issuer(home)
            elif head.size > 1 and not home.has_keys:
                raise ServiceError(
                    "database-in-use",
                    f"{place} 已属另一数据目录；请用那个目录，或另建数据库",
                    f"{place} belongs to another home; use that home, or make another database",
                    kind=Kind.CONFLICT,
                )
        journal = Journal(database, time.time_ns, secrets.token_bytes)
        async with journal.running():
            await journal.transact(_genesis)
    finally:
        await database.close()


async def _genesis(tx: Transaction) -> None:
    if tx.size:
        return
    digest = sha256(tx.genesis).digest()
    event = Event(EntryKind.GENESIS, digest[:16], digest, salt=tx.entropy(32), payload=tx.genesis)
    await tx.append([event])
