"""The composition root: one object that holds what every surface (HTTP, command line, jobs) works with."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import cast

from ledger import store as ledger_store
from ledger.entry import Entry, EntryKind, Event
from ledger.errors import DomainError, Kind
from ledger.journal import Journal, T, Work
from ledger.outcome import Outcome
from ledger.sql import Connection
from ledger.transaction import Chain, Transaction
from suanquan.access.acting import acting
from suanquan.access.trail import Act
from suanquan.catalog import Catalog, load_catalog
from suanquan.clock import ClockNs, clock_of, wall_ns
from suanquan.conduct import TriedError, conduct, over
from suanquan.db import trail
from suanquan.db.database import Database
from suanquan.db.place import Place
from suanquan.db.schema import require_head, upgrade
from suanquan.decoding import BatchDecoder
from suanquan.errors import ServiceError
from suanquan.home import Home, another_issuer
from suanquan.key_ring import KeyRing
from suanquan.office import load_office
from suanquan.settings import Settings, load_settings
from suanquan.use_cases.access import Access
from suanquan.use_cases.case_book import CaseBook
from suanquan.use_cases.catalogue import find_scheme, version_at
from suanquan.use_cases.chart_book import ChartBook
from suanquan.use_cases.decision_office import DecisionDesk, open_desk
from suanquan.use_cases.editions import check_edition
from suanquan.use_cases.ingest import Issuer, Rules
from suanquan.use_cases.intake import Intake
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.issue_approved import issue_approved
from suanquan.use_cases.issue_many import Desk, issue_many
from suanquan.use_cases.log import Log, open_log
from suanquan.use_cases.overview import Memo
from suanquan.use_cases.procedure import Proceedings
from suanquan.use_cases.split import SplitOrder, split
from suanquan.use_cases.status_lists import StatusCache
from suanquan.use_cases.subsidies import Subsidies
from suanquan.use_cases.voucher_matter import Issuing
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

    async def transact(
        self, work: Work[T], *, own_sql: bool = True, keeps_memo: bool = False, flies: bool = False
    ) -> T:
        """See `Journal.transact`; what somebody does gets its row of the audit log in the same transaction, and see `conduct`."""
        await self._pass()
        act, way = acting.get(), conduct.get()
        if act is None and way is None:
            return await super().transact(work, own_sql=own_sql, keeps_memo=keeps_memo, flies=flies)
        own = work if act is None else _audited(work, act)
        if way is None:
            return await super().transact(own, keeps_memo=keeps_memo)
        try:
            result = await super().transact(over(own, way), keeps_memo=keeps_memo)
        except TriedError as tried:
            if tried.fault is not None:
                raise tried.fault from None
            return cast("T", tried.result)
        way.looked = True
        return result

    async def submit(self, *events: Event) -> list[Entry]:
        """See `Journal.submit`."""
        if acting.get() is not None or conduct.get() is not None:
            return await self.transact(lambda tx: tx.append(events))
        await self._pass()
        return await super().submit(*events)

    async def bulk(self, chains: Sequence[Chain], *, all_or_nothing: bool = False) -> list[Outcome]:
        """See `Journal.bulk`."""
        if acting.get() is not None or conduct.get() is not None:
            return await self.transact(lambda tx: tx.bulk(chains, all_or_nothing=all_or_nothing))
        await self._pass()
        return await super().bulk(chains, all_or_nothing=all_or_nothing)


def _audited(work: Work[T], act: Act) -> Work[T]:
    async def run(tx: Transaction) -> T:
        result = await work(tx)
        await trail.append(tx.connection, act, tx.now_ns // 1000)
        return result

    return run


@dataclass(slots=True)
class Service:
    """An opened home. Without the passphrase nothing can be issued or received."""

    home: Home
    settings: Settings
    catalog: Catalog
    ring: KeyRing
    database: Database
    journal: GuardedJournal
    log: Log
    clock_ns: ClockNs
    subsidies: Subsidies
    decisions: DecisionDesk
    access: Access
    decoder: BatchDecoder = field(default_factory=BatchDecoder)
    watch: Watch = field(default_factory=Watch)
    statuses: StatusCache = field(default_factory=StatusCache)
    memo: Memo = field(default_factory=Memo)
    charts: ChartBook = field(default_factory=ChartBook)
    _proceedings: Proceedings | None = None
    _cases: CaseBook | None = None
    _intake: Intake | None = None

    @property
    def intake(self) -> Intake:
        """Where batches of usage come in."""
        if self._intake is None:
            self._intake = Intake(self.journal, lambda: self.rules, lambda: self.issuer)
        return self._intake

    @property
    def keys(self) -> KeyRegistry:
        """The issuer's keys, public parts, as they stand now."""
        return self.ring.registry

    @property
    def now_us(self) -> int:
        """UTC epoch microseconds."""
        return self.clock_ns() // 1000

    @property
    def wall_us(self) -> int:
        """UTC epoch microseconds outside, which those who sign requests go by; a sandbox may be ahead of it."""
        return wall_ns(self.clock_ns) // 1000

    @property
    def issuer(self) -> Issuer:
        """Who signs receipts."""
        assert self.ring.can_sign, "opened without the passphrase"
        kid = self.keys.signing_key().kid
        return Issuer(self.keys.issuer, kid, self.ring.signer(kid))

    @property
    def rules(self) -> Rules:
        """What usage is rated and paid by."""
        return Rules(self.catalog.tariffs, self.catalog.series, self.catalog.digest)

    @property
    def proceedings(self) -> Proceedings:
        """What runs procedures; its rules are read when they are first asked for.

        Raises:
            SubsidyError: a policy, procedure or calendar is not valid.

        """
        if self._proceedings is None:
            issuing = Issuing(lambda: self.keys, self.settings.url)
            self._proceedings = Proceedings(
                self.journal,
                load_office(self.home, self.subsidies.policies, self.catalog.series),
                self.clock_ns,
                issuing,
            )
        return self._proceedings

    @property
    def cases(self) -> CaseBook:
        """Every application as it stands, for pages that list them."""
        if self._cases is None:
            self._cases = CaseBook(self.proceedings.office)
        return self._cases

    @property
    def desk(self) -> Desk:
        """What issues, for those who issue together or what was approved; it needs the passphrase."""
        return Desk(self.journal, self.keys, self.issuer.sign, self.ring.signer, self.settings.url)

    async def try_to_issue(self, application: str) -> dict[str, str] | None:
        """Issue what is due of an application; why not, if it is refused: the step before it stands, and the job tries again."""
        try:
            await self.issue_approved(application)
        except DomainError as error:
            return {"code": error.code, "zh": error.zh, "en": error.en}
        return None

    async def issue_approved(self, application: str) -> list[StoredVoucher]:
        """Issue what is due of an application, once; its vouchers. Without the passphrase it stays approved, and none is given.

        Raises:
            DomainError: why it cannot be issued.

        """
        return await issue_approved(self.proceedings, self.desk, application) if self.ring.can_sign else []

    async def check_history(self) -> None:
        """Refuse a database that is older than what was signed of its log, or has another history.

        Raises:
            ServiceError: `database-rolled-back`.

        """
        await self.log.check_head_file()
        await check_witnesses(self.log)

    async def check_registers(self) -> None:
        """Refuse registers that rewrite what usage was rated by, and keep those that are new.

        Raises:
            ServiceError: `register-rewritten`.

        """
        await check_edition(self.journal, self.catalog, self.home.config)

    async def issue(self, scheme_id: str, request: IssueRequest, key: str | None = None) -> StoredVoucher:
        """Issue a voucher under a scheme of the catalogue; `key` makes the request repeatable.

        Raises:
            DomainError: unknown scheme, or what `issue` refuses.

        """
        scheme = version_at(find_scheme(self.catalog.series, scheme_id), self.now_us)
        order = Order(request, scheme, key or secrets.token_hex(16))
        return await issue(
            self.journal, order, self.keys, self.issuer.sign, signers=self.ring.signer, address=self.settings.url
        )

    async def split(self, order: SplitOrder) -> StoredVoucher:
        """Make a part of a voucher a voucher of its own.

        Raises:
            DomainError: what `split` refuses.

        """
        return await split(
            self.journal, order, self.keys, self.issuer.sign, signers=self.ring.signer, address=self.settings.url
        )

    async def audit(self, act: Act) -> None:
        """Record what somebody is about to be shown: without its row, nothing is shown.

        Raises:
            ServiceError: `audit-unavailable` or `storage-unavailable`.

        """
        async with self.database.write() as conn:
            await trail.append(conn, act, self.now_us)

    async def leave_trace(self, conn: Connection) -> None:
        """Record, in the transaction of a change beside the journal, who makes it.

        Raises:
            ServiceError: `audit-unavailable`: the change must not be made.

        """
        act = acting.get()
        if act is not None:
            await trail.append(conn, act, self.now_us)

    def issue_many(
        self, scheme_id: str, requests: Iterable[tuple[IssueRequest, str]]
    ) -> AsyncIterator[StoredVoucher | DomainError]:
        """Issue vouchers under one scheme, each under its key; what became of each, in order.

        Raises:
            DomainError: unknown scheme, or no passphrase.

        """
        scheme = version_at(find_scheme(self.catalog.series, scheme_id), self.now_us)
        return issue_many(self.desk, (Order(request, scheme, key) for request, key in requests))


@contextlib.asynccontextmanager
async def open_service(
    home: Home, passphrase: bytes | None = None, clock_ns: ClockNs | None = None
) -> AsyncIterator[Service]:
    """Open a home: check its schema, read its configuration, start the writer; on leaving, finish and close.

    Journal, rules and use cases read one clock: the one given, or that of the home (see `clock_of`).

    Raises:
        DomainError: what is missing or wrong in the home, with what to do.

    """
    home.require()
    settings = load_settings(home.settings_file)
    place = home.place(settings)
    require_head(place)
    database = Database(place)
    clock = clock_ns or clock_of(settings, home.sandbox_clock)
    log = open_log(home, settings, database, passphrase, clock)
    journal = GuardedJournal(database, clock, secrets.token_bytes)
    catalog, ring = load_catalog(home.config), KeyRing(home, passphrase)
    rules, desk = Subsidies(home.config), open_desk(home, settings, passphrase)
    access = Access(database, home, settings, lambda: wall_ns(clock))
    service = Service(home, settings, catalog, ring, database, journal, log, clock, rules, desk, access)
    journal.guard = service.check_history
    try:
        async with journal.running():
            yield service
    finally:
        service.decoder.close()
        await database.close()


async def create_ledger(home: Home, place: Place, origin: str, clock_ns: ClockNs = time.time_ns) -> None:
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
        journal = Journal(database, clock_ns, secrets.token_bytes)
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
