"""What nobody does, and somebody should know: vouchers issued, statements ready, gaps, silence, quarantine, findings, budgets, documents.

Each is told once for each state: about something that has a name, once for that name; about a number, when it has grown. All of
it is read beside the writer and written some notices at a time, so that ten thousand of them hold nobody up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from ledger.amount import ASSETS, format_units, parse_units
from ledger.scope import EVERYTHING
from ledger.sql import Connection
from metering import fate_store, month_store
from metering import store as metering_store
from metering.zones import rfc3339
from suanquan.db import notices
from suanquan.notices.model import OFFICE, Kind, Notice, of_centre, of_holder
from suanquan.service import Service
from suanquan.use_cases.programme import programme_object
from suanquan.use_cases.subsidies import day_of
from voucher import finding_store
from voucher import store as voucher_store
from voucher.document import make_jti
from voucher.findings import CHECKS

TOGETHER = 50
PAGE = 500
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
ISSUED_US = 7 * DAY_US
"""How far back vouchers are looked at that nobody was told of."""
SILENT_US = DAY_US
STATEMENT_DAYS = 10
"""Days of a month in which statements of the month before are told of."""
NOTICE_DAYS = 7
"""How long after its end a public notice is told of that nobody was told of."""
BUDGET_PERCENT = (80, 95)
DOCUMENT_DAYS = (90, 30, 7, 1)


async def remind(service: Service) -> int:
    """Write what is due and was not told before; how many notices there were."""
    count = 0
    async with service.database.read() as conn:
        due = [*await _of_centres(conn, service), *await _of_office(conn, service)]
        due += await _of_statements(conn, service)
        due += await _of_public_notices(conn, service)
    count += await _put(service, due)
    return count + await _of_vouchers(service)


async def _put(service: Service, due: Sequence[Notice]) -> int:
    for at in range(0, len(due), TOGETHER):
        async with service.database.write() as conn:
            for notice in due[at : at + TOGETHER]:
                await notices.put(conn, notice, service.now_us)
    return len(due)


async def _new(conn: Connection, found: Collection[Notice]) -> list[Notice]:
    """Those that their audience was not told of: one notice about each subject."""
    told = {
        kind: await notices.given(conn, kind.value, {one.subject for one in found if one.kind is kind})
        for kind in {one.kind for one in found}
    }
    return [one for one in found if (one.audience, one.subject) not in told[one.kind]]


async def _grown(conn: Connection, kind: Kind, found: Collection[Notice], name: str) -> list[Notice]:
    """Those whose number, or whatever stands under this name, is not what was told last; a number that fell tells nothing."""
    before = await notices.newest_about(conn, kind.value)
    return [one for one in found if _more(one.data[name], before.get((one.audience, one.subject)), name)]


def _more(now: Any, told: notices.Stored | None, name: str) -> bool:
    if told is None:
        return bool(now)
    return bool(now > told.data.get(name, 0)) if isinstance(now, int) else now != told.data.get(name)


async def _of_vouchers(service: Service) -> int:
    """Tell holders of vouchers that can be shown since the last look."""
    count, after = 0, make_jti(service.now_us - ISSUED_US, bytes(10))
    async with service.database.read() as conn:
        newest = await notices.newest_subject(conn, Kind.VOUCHER_ISSUED.value)
    if newest is None:  # a service that is new to notices does not tell of a year
        after = make_jti(service.now_us - HOUR_US, bytes(10))
    elif newest > after:
        after = max(after, _an_hour_before(newest))
    more = True
    while more:
        async with service.database.read() as conn:
            page = await voucher_store.list_vouchers(conn, EVERYTHING, after=after, limit=PAGE)
            due = await _new(conn, [_issued(one) for one in page if one.token])
        count += await _put(service, due)
        more, after = len(page) == PAGE, page[-1].jti if page else ""
    return count


def _an_hour_before(jti: str) -> str:
    """The least id of the hour before that of a voucher: ids are made a little before what they name is written."""
    at_ms = int(jti.replace("-", "")[:12], 16)
    return make_jti(at_ms * 1000 - HOUR_US, bytes(10))


def _issued(one: voucher_store.StoredVoucher) -> Notice:
    asset = next(asset for asset in ASSETS.values() if asset.number == one.asset)
    amount, until = format_units(one.units, asset), rfc3339(one.until_us)
    data = {"scheme": one.scheme, "unit": asset.code, "amount": amount, "valid_until": until}
    zh = f"券已签发：{amount} {asset.code}，至 {until[:10]}（{one.jti}）"
    en = f"a voucher was issued: {amount} {asset.code}, until {until[:10]} ({one.jti})"
    return Notice(Kind.VOUCHER_ISSUED, of_holder(one.holder), one.jti, zh, en, data)


async def _of_centres(conn: Connection, service: Service) -> list[Notice]:
    """Gaps, quarantine and silence: told to the centre and to the office."""
    names = await metering_store.load_centres(conn)
    gaps, waiting = await month_store.count_gaps(conn), await fate_store.count_waiting(conn)
    heard = {
        centre: max(one.received_us for one in sources)
        for centre, sources in _by_centre(await metering_store.load_sources(conn)).items()
    }
    found = {Kind.GAP_FOUND: list[Notice](), Kind.QUARANTINE_NEW: list[Notice](), Kind.AGENT_SILENT: list[Notice]()}
    for centre in names:
        missing, held, last_us = gaps.get(centre, 0), waiting.get(centre, 0), heard.get(centre, 0)
        words = (
            f"中心 {centre} 有 {missing} 个账户月份的用量不全",
            f"{missing} account-months of centre {centre} lack usage",
        )
        found[Kind.GAP_FOUND] += _both(Kind.GAP_FOUND, centre, words, {"gaps": missing})
        words = f"中心 {centre} 的隔离区有 {held} 条记录待处理", f"{held} records of centre {centre} wait in quarantine"
        found[Kind.QUARANTINE_NEW] += _both(Kind.QUARANTINE_NEW, centre, words, {"waiting": held})
        if last_us and service.now_us - last_us > SILENT_US:
            since = rfc3339(last_us)
            words = f"中心 {centre} 自 {since} 起没有上报", f"centre {centre} has not reported since {since}"
            found[Kind.AGENT_SILENT] += _both(Kind.AGENT_SILENT, centre, words, {"last": since})
    names_of = {Kind.GAP_FOUND: "gaps", Kind.QUARANTINE_NEW: "waiting", Kind.AGENT_SILENT: "last"}
    return [one for kind, some in found.items() for one in await _grown(conn, kind, some, names_of[kind])]


def _by_centre(sources: Sequence[metering_store.Source]) -> Mapping[str, list[metering_store.Source]]:
    found: dict[str, list[metering_store.Source]] = {}
    for one in sources:
        found.setdefault(one.centre, []).append(one)
    return found


def _both(kind: Kind, centre: str, words: tuple[str, str], data: dict[str, Any]) -> Iterator[Notice]:
    for audience in (of_centre(centre), OFFICE):
        yield Notice(kind, audience, centre, *words, {"centre": centre} | data)


async def _of_office(conn: Connection, service: Service) -> list[Notice]:
    """Findings, budgets and documents: told to the office."""
    found = []
    for check, count in (await finding_store.count_open(conn)).items():
        words = f"核查 {check} 有 {count} 项待核", f"{count} findings of check {check} are open"
        found.append(Notice(Kind.FINDING_RAISED, OFFICE, check, *words, {"open": count}))
    due = await _grown(conn, Kind.FINDING_RAISED, [one for one in found if one.subject in CHECKS], "open")
    named = list(_documents(service))
    for series in service.catalog.series.values():
        said = await programme_object(conn, series)
        named += [one for year in said["years"] for one in _budget(said["scheme"], year)]
    return due + await _new(conn, named)


def _budget(scheme: str, year: Mapping[str, Any]) -> Iterator[Notice]:
    """The highest share of a year's budget that is used up, if it is one to tell of."""
    asset = ASSETS[year["unit"]]
    whole, left = (parse_units(year[name], asset) for name in ("budget", "left"))
    passed = [percent for percent in BUDGET_PERCENT if whole > 0 and (whole - left) * 100 >= whole * percent]
    if passed:
        data = {"scheme": scheme, "year": year["year"], "unit": asset.code, "percent": passed[-1], "left": year["left"]}
        zh = f"方案 {scheme} {year['year']} 年预算已用 {passed[-1]}%，尚余 {year['left']} {asset.code}"
        en = f"{passed[-1]} % of the {year['year']} budget of {scheme} is used, {year['left']} {asset.code} are left"
        yield Notice(Kind.BUDGET_LOW, OFFICE, f"{scheme}/{year['year']}/{asset.code}/{passed[-1]}", zh, en, data)


def _documents(service: Service) -> Iterator[Notice]:
    """Documents that end within one of the spans that are told of."""
    today = day_of(service.now_us)
    for one in service.subsidies.policies.documents.values():
        days = (one.last_day - today).days
        near = [span for span in DOCUMENT_DAYS if 0 <= days <= span]
        if near:
            data = {"document": one.number, "days": days, "last_day": one.last_day.isoformat()}
            zh = f"{one.number} 将于 {one.last_day} 期满，还有 {days} 天"
            en = f"{one.number} ends on {one.last_day}, in {days} days"
            yield Notice(Kind.DOCUMENT_EXPIRING, OFFICE, f"{one.number}/{near[-1]}", zh, en, data)


async def _of_statements(conn: Connection, service: Service) -> list[Notice]:
    """Statements of the month before: told to each centre, and to each holder whose accounts used something."""
    today = day_of(service.now_us)
    if today.day > STATEMENT_DAYS:
        return []
    month = date(today.year, today.month, 1) - timedelta(days=1)
    rows = await metering_store.usage_by(conn, "centre", "account", month=month.year * 100 + month.month)
    holders = {(centre, account): holder for centre, account, holder in await voucher_store.load_bindings(conn)}
    audiences = {of_centre(row["centre"]) for row in rows}
    audiences |= {of_holder(holders[key]) for row in rows if (key := (row["centre"], row["account"])) in holders}
    said = f"{month:%Y-%m}"
    words = f"{said} 的对账单已可查看和下载", f"statements of {said} are ready"
    return await _new(
        conn, [Notice(Kind.STATEMENT_READY, audience, said, *words, {"month": said}) for audience in sorted(audiences)]
    )


async def _of_public_notices(conn: Connection, service: Service) -> list[Notice]:
    """Public notices that ended in these days: told to the applicant and to the office, who go on with the case."""
    today, found = day_of(service.now_us), list[Notice]()
    for one in await service.cases.applications(conn):
        last = one.case.last_notice_day
        if (
            last is not None
            and 0 < (today - last).days <= NOTICE_DAYS
            and not one.round.procedure.states[one.case.state].final
        ):
            words = f"申报 {one.id} 的公示于 {last} 期满", f"the public notice of application {one.id} ended on {last}"
            data = {"application": one.id, "last_day": last.isoformat()}
            kind = Kind.APPLICATION_NOTICE_ENDED
            found += [
                Notice(kind, audience, one.id, *words, data) for audience in (of_holder(one.case.applicant), OFFICE)
            ]
    return await _new(conn, found)
