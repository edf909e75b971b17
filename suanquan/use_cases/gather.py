"""What the abuse checks read: parties and what ties them, vouchers, accounts, applications, prices, capacity, declarations.

Each check runs over what the home has. What nobody has recorded here gives no finding: docs/findings.md says what each reads.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from ledger import base64url
from ledger import store as ledger_store
from ledger.amount import CNY
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from metering import centre_store, sight_store
from metering import fate_store as fates
from metering import store as metering_store
from metering.centre import DECLARED, OPERATOR, CentreRecord, load_inventory
from metering.prices import MS_PER_HOUR
from metering.zones import shanghai_day_us
from suanquan.catalog import Catalog
from suanquan.office import Office
from suanquan.use_cases.applications import Application, load_applications, load_rounds
from suanquan.use_cases.claim_reading import load_claims
from suanquan.use_cases.settlement_reading import load_batches
from suanquan.use_cases.sight import Use, day_of
from voucher import finding_store
from voucher import store as voucher_store
from voucher.finding import Suspicion, Thresholds
from voucher.findings_money import Line, Paid, Paper, both_sides, misplaced_items, paybacks, price_rises, used_twice
from voucher.findings_parties import (
    Act,
    Party,
    Relations,
    banned_again,
    borrowed_vouchers,
    insider_acts,
    own_use,
    proxy_clusters,
    related_parties,
    split_firms,
)
from voucher.findings_usage import (
    Declared,
    Job,
    Period,
    Plant,
    counted_twice,
    incomplete_reports,
    inflated_capacity,
    sham_use,
)
from voucher.settlement.batch import Evidence as SettlementPaper

FEN = 10 ** (CNY.scale - 2)
DECLARE_DAYS = 15
"""How long after the end of a month its declaration may take."""
MILLIJOULES_PER_KWH = 3_600_000_000
FACTS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Home:
    """Everything the checks are given."""

    conn: Connection
    catalog: Catalog
    office: Office
    limits: Thresholds
    now_us: int


@dataclass(slots=True)
class People:
    """Who is who: operators of centres, holders of vouchers, owners of accounts, and what ties them."""

    parties: list[Party]
    relations: Relations
    operators: dict[str, str]
    holders: dict[str, str]
    accounts: dict[str, str]
    records: dict[str, CentreRecord]


async def people_of(home: Home) -> People:
    """Read parties, operators, holders and accounts; vouchers bound to one key tie their holders together."""
    traits: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for trait in await finding_store.load_traits(home.conn):
        traits[trait.party].add((trait.kind, f"{trait.shown} #{trait.blinded[:12]}"))
    holders = {}
    for jti, holder, jwt_input in await finding_store.holders(home.conn):
        holders[jti] = holder
        if thumbprint := _holder_key(jwt_input):
            traits[holder].add(("device", thumbprint))
    records = {
        centre: CentreRecord(await centre_store.load_facts(home.conn, centre))
        for centre in await metering_store.load_centres(home.conn)
    }
    operators = {
        centre: str(said[OPERATOR])
        for centre, record in records.items()
        if OPERATOR in (said := record.statements(home.now_us))
    }
    bindings = await voucher_store.load_bindings(home.conn)
    parties = [Party(name, frozenset(some)) for name, some in sorted(traits.items())]
    accounts = {f"{centre}/{account}": holder for centre, account, holder in bindings}
    return People(parties, Relations(parties), operators, holders, accounts, records)


def _holder_key(jwt_input: bytes) -> str:
    """Thumbprint of the key that a voucher is bound to, if it is."""
    claims = json.loads(base64url.decode(jwt_input.split(b".")[1].decode()))
    return str(claims.get("cnf", {}).get("jkt", ""))


async def of_parties(home: Home, people: People, use: Use) -> list[Suspicion]:
    """A2, A4, A6, A8, A11, A15: who deals with whom."""
    deals = {
        (holder, operator, centre)
        for account, holder in people.accounts.items()
        for centre in [account.partition("/")[0]]
        if (operator := people.operators.get(centre))
    }
    applications = await _applications(home)
    contracts = sorted(
        {(one.case.applicant, str(one.case.contract["provider"])) for one in applications if one.case.contract}
    )
    pairs = sorted({(holder, operator) for holder, operator, _ in deals if holder != operator} | set(contracts))
    found = list(related_parties(pairs, people.relations, home.limits))
    found += proxy_clusters(people.parties, home.limits)
    found += await _split(home, people)
    found += borrowed_vouchers(use.vouchers, people.holders, people.accounts)
    plants = sorted((holder, centre, "") for holder, _, centre in deals)
    plants += [(applicant, provider, "") for applicant, provider in contracts if applicant == provider]
    owners = people.operators | {provider: provider for _, provider in contracts}
    found += own_use(plants, owners, people.relations, home.limits)
    now = home.now_us
    banned = {
        one.party: one.decision
        for one in await finding_store.load_sanctions(home.conn)
        if one.from_us <= now < one.until_us
    }
    known = {*people.holders.values(), *people.accounts.values(), *people.operators.values()}
    known |= {one.case.applicant for one in applications}
    found += banned_again(sorted(known), banned, people.relations, home.limits)
    return found


async def _split(home: Home, people: People) -> list[Suspicion]:
    """A6 by scheme and calendar year: what was issued in yuan to each holder, against the cap of one."""
    issued: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for scheme, year, holder, units in await finding_store.issued_sums(home.conn, CNY.number):
        issued[scheme, year][holder] += units // FEN
    found: list[Suspicion] = []
    for (scheme, year), claimed in sorted(issued.items()):
        series = home.catalog.series.get(scheme)
        version = series and (series.on(date(year, 12, 31)) or series.latest)
        terms = version and version.terms_in(CNY.code)
        if terms:
            cap_fen = terms.cap_holder_year_units // FEN
            found += split_firms(claimed, cap_fen, people.relations, home.limits, f"{scheme} {year}")
    return found


async def of_money(home: Home, use: Use) -> list[Suspicion]:
    """A1, A5, A7, A9, A12: prices, papers, two claims of one use, and what invoices say."""
    tips = [(tip.provider, tip.message) for tip in await finding_store.load_tips(home.conn)]
    found = list(paybacks(await _bills(home, {provider for provider, _ in tips}), tips, home.limits))
    found += used_twice(_papers(await _applications(home)))
    found += both_sides(_claims(use))
    found += misplaced_items(await invoice_lines(home.conn))
    tariffs = await _tariffs(home)
    for series in home.catalog.series.values():
        oldest = series.versions[0]
        first = oldest.in_force.first or _day(oldest.issue_from_us)
        found += price_rises(tariffs, first, home.limits) if first else ()
    return found


def _day(at_us: int) -> date | None:
    """The day in Shanghai of an instant; None for zero, which says that nothing is fixed."""
    return date.fromisoformat(day_of(at_us)) if at_us else None


async def _bills(home: Home, told: Iterable[str]) -> list[Paid]:
    """What each centre's usage of a month came to, and what it comes to by the general price; tips stand on their own.

    Own shares and their proofs are not recorded here: they count as proved.
    """
    bills = [Paid(f"tip {provider}", "", provider, 0, 0, 0, 0, confirmed=True) for provider in sorted(told)]
    prices = home.catalog.prices
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for row in await metering_store.usage_by(home.conn, "centre", "model", "month"):
        at_us = shanghai_day_us(_first_day(row["month"]))
        general = next((p for p in prices.intervals("", row["model"]) if p.from_us <= at_us < p.to_us), None)
        if general is None:
            continue
        both = sums[row["centre"], row["month"]]
        both[0] += row["rated_units"]
        both[1] += row["gpu_ms"] * general.micro_yuan_per_gpu_hour // MS_PER_HOUR
    for (centre, month), (price, tariff) in sorted(sums.items()):
        bills.append(Paid(f"{centre} {month}", "", centre, price // FEN, tariff // FEN, 0, 0, confirmed=True))
    return bills


def _first_day(month: int) -> date:
    return date(month // 100, month % 100, 1)


async def _applications(home: Home) -> list[Application]:
    rounds = await load_rounds(home.conn, home.office)
    return [one for round_ in rounds for one in await load_applications(home.conn, home.office, round_.id, EVERYTHING)]


def _papers(applications: Iterable[Application]) -> list[Paper]:
    """Contracts and cost documents that different applicants name; the register keeps one applicant from naming one twice."""
    users: dict[tuple[str, str], dict[str, Application]] = defaultdict(dict)
    for one in applications:
        for cost in one.case.costs:
            users["document", f"{cost['issuer']} {cost['document']}"][one.case.applicant] = one
        if contract := one.case.contract:
            users["contract", f"{contract['provider']} {contract['number']}"][one.case.applicant] = one
    return [
        Paper(one.id, one.clause, kind, key) for (kind, key), by in users.items() if len(by) > 1 for one in by.values()
    ]


async def invoice_lines(conn: Connection) -> list[Line]:
    """Lines of invoices of batches and claims that count; what a centre invoiced as compute, against what was metered of its batch."""
    found = []
    for batch in await load_batches(conn):
        if batch.is_live:
            lines = _lines_of(batch.id, batch.evidence)
            compute = sum(line.amount_fen for line in lines if line.kind == "compute")
            if compute and batch.invoiced:
                lines.append(Line(batch.id, "compute", compute, "发票算力行合计", -(-batch.invoiced // FEN)))
            found += lines
    for claim in await load_claims(conn):
        found += _lines_of(claim.id, claim.evidence) if claim.is_live else []
    return found


def _lines_of(subject: str, papers: Iterable[SettlementPaper]) -> list[Line]:
    return [Line(subject, line.kind, line.units // FEN, line.text, None) for paper in papers for line in paper.lines]


def _claims(use: Use) -> list[tuple[str, str, str]]:
    """Uses that were debited twice: a job for which a hold was taken, and a record of that job that was metered as well."""
    both = [
        ((f"hold {hold}", "capture", record), (f"account {account}", "metering", record))
        for hold, account, record in use.held
    ]
    return [claim for pair in both for claim in pair]


async def _tariffs(home: Home) -> Mapping[tuple[str, str], list[tuple[date, int]]]:
    """Prices in fen for an hour of a card from each day on, by centre and model."""
    found: dict[tuple[str, str], list[tuple[date, int]]] = {}
    for centre in await metering_store.load_centres(home.conn):
        for model in home.catalog.accelerators.models:
            prices = home.catalog.prices.intervals(centre, model)
            dated = [(date.fromisoformat(day_of(max(p.from_us, 0))), p.micro_yuan_per_gpu_hour // FEN) for p in prices]
            if dated:
                found[centre, model] = dated
    return found


async def of_centres(home: Home, people: People) -> list[Suspicion]:
    """A3 (sums of months), A10, A13: what centres can do, say and report."""
    steps = await centre_store.load_steps(home.conn)
    declared_cards = await metering_store.load_capacity(home.conn)
    gflops = home.catalog.capacity_gflops
    declared = []
    for centre, record in sorted(people.records.items()):
        if said := record.statements(home.now_us).get(DECLARED):
            declared.append(Declared(centre, said["tflops"], said["sparse"]))
        if centre in steps and (cards := declared_cards.get(centre)):
            tflops = sum(count * gflops.get(model, 0) for model, count in cards.items()) // 10**6
            declared.append(Declared(centre, tflops, sparse=False))
    counted = {
        centre: {model: centre_store.count_at(some, home.now_us) // 1000 for model, some in models.items()}
        for centre, models in steps.items()
    }
    listed = [one for one in declared if one.centre in counted or one.sparse]
    found = list(inflated_capacity(listed, counted, gflops, home.limits))
    inventories = {centre: await centre_store.newest_inventory(home.conn, centre) for centre in steps}
    found += counted_twice({centre: load_inventory(one.body) for centre, one in inventories.items() if one})
    found += await _months(home, people, (steps, declared_cards))
    found += incomplete_reports(await _periods(home))
    return found


async def _months(
    home: Home,
    people: People,
    capacity: tuple[Mapping[str, Mapping[str, list[tuple[int, int]]]], Mapping[str, Mapping[str, int]]],
) -> list[Suspicion]:
    """A3 by month: more GPU time than all cards have, and less electricity than the devices alone took."""
    steps, declared = capacity
    found: list[Suspicion] = []
    for row in await metering_store.usage_by(home.conn, "centre", "month"):
        centre, month = row["centre"], row["month"]
        first, following = _first_day(month), (_first_day(month) + timedelta(days=31)).replace(day=1)
        begin_us, end_us = shanghai_day_us(first), shanghai_day_us(following)
        if centre in steps:
            models = steps[centre].values()
            edges = sorted({begin_us, *(at for some in models for at, _ in some if begin_us < at < end_us)})
            cards = max(sum(centre_store.count_at(some, at) for some in models) for at in edges)
        else:
            cards = sum(declared.get(centre, {}).values())
        if not cards:
            continue
        name = f"{month // 100}-{month % 100:02d}"
        taken_kwh = await sight_store.energy_between(home.conn, centre, begin_us, end_us) // MILLIJOULES_PER_KWH
        reading = people.records[centre].energy().get(name) if centre in people.records else None
        low = reading.it_kwh if reading and reading.it_kwh < taken_kwh else None  # more: other equipment takes it
        plant = Plant(centre, name, -(-cards // 1000), (end_us - begin_us) // 1000, low, taken_kwh)
        whole = Job(name, centre, "", begin_us, end_us, row["gpu_ms"])
        found += sham_use([whole], [plant], home.limits)
    return found


async def _periods(home: Home) -> list[Period]:
    """Months of centres that are over and due, as declared and as arrived; and sequence numbers that never came."""
    arrived = {
        (row["centre"], row["month"]): row for row in await metering_store.usage_by(home.conn, "centre", "month")
    }
    declared: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for centre in await metering_store.load_centres(home.conn):
        for (month, _), (_, one) in (await metering_store.load_declarations(home.conn, centre)).items():
            sums = declared[centre, month]
            sums[0] += one.segments
            sums[1] += one.gpu_ms
    found = []
    for centre, month in sorted(arrived.keys() | declared.keys()):
        following = (_first_day(month) + timedelta(days=31)).replace(day=1)
        if shanghai_day_us(following + timedelta(days=DECLARE_DAYS)) <= home.now_us:
            said = declared.get((centre, month))
            came = arrived.get((centre, month), {"records": 0, "gpu_ms": 0})
            segments, gpu_ms = said or (None, None)
            name = f"{month // 100}-{month % 100:02d}"
            found.append(Period(centre, name, segments, came["records"], gpu_ms, came["gpu_ms"]))
    for centre, urn, highest, records in await sight_store.numbers_of_sources(home.conn):
        if records < highest:
            found.append(Period(centre, urn, 0, 0, 0, 0, numbers_missing=highest - records))
    return found


async def of_insiders(home: Home, people: People) -> list[Suspicion]:
    """A14: steps of procedures, and corrections of usage: who took both sides, who is tied, what the log lacks."""
    acts: list[Act] = []
    applicants = {}
    apart = {frozenset({"request", "approve"})}
    for one in await _applications(home):
        applicants[one.id] = one.case.applicant
        logged = await ledger_store.load_entries(home.conn, [row.event_id for row in one.rows])
        for row in one.rows:
            entry = logged.get(row.event_id)
            acts.append(Act(one.id, row.step, row.person, str(entry.seq) if entry else ""))
        for step in one.round.procedure.steps.values():
            apart |= {frozenset({step.id, other}) for other in step.apart_from}
    acts += [act async for act in _corrections(home.conn)]
    return list(insider_acts(acts, applicants, people.relations, home.limits, apart))


async def _corrections(conn: Connection) -> AsyncIterator[Act]:
    after = 0
    while facts := await fates.load_facts(conn, after, FACTS_AT_ONCE):
        for fact in facts:
            after = fact.number
            if fact.approved_by:
                yield Act(f"usage {fact.id}", "request", fact.requested_by, str(fact.number))
                yield Act(f"usage {fact.id}", "approve", fact.approved_by, str(fact.number))
