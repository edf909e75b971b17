"""How long what is kept: a table in the home's configuration, read strictly, and what is past its time dropped with a row for it.

What is not in the table is kept for good: facts of the ledger, vouchers, evidence, decisions, usage.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

from ledger.errors import Finding
from ledger.sql import Connection
from metering.zones import rfc3339
from suanquan.access.trail import ERASE, Act
from suanquan.db import retention, trail
from suanquan.db.retention import What
from suanquan.errors import ServiceError
from suanquan.home import Home, packaged_config
from suanquan.settings import Settings
from suanquan.use_cases.access import DAY_US, KEEPER, Access

FILE = "retention/retention.toml"
DAYS_MAX = 36_500
ACTION = "retention.apply"
PERSON = f"{KEEPER}retention"
"""As whom the job acts: a name that no account can have."""


@dataclass(frozen=True, slots=True)
class Term:
    """For how many days something is kept, 0 for good, and why."""

    what: What
    days: int
    why: str

    def until_us(self, now_us: int) -> int:
        """Before which moment what is over may go; 0 where nothing goes."""
        return max(now_us - self.days * DAY_US, 0) if self.days else 0


def load_terms(home: Home, settings: Settings) -> tuple[Term, ...]:
    """The table of a home; a home made before there was one has the table that ships.

    Raises:
        ServiceError: `retention-invalid`, with a finding for each entry at fault.

    """
    own = home.config / FILE
    path = own if own.is_file() else packaged_config() / FILE
    try:
        read = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise _invalid(
            [Finding("retention-invalid", "不是 UTF-8 的 TOML", f"is not TOML in UTF-8: {fault}", FILE)]
        ) from None
    names = {what.value for what in What}
    findings = [_finding(name, "没有这一项", "is not known") for name in read.keys() - names]
    findings += [found for what in What if (found := _fault(read.get(what.value), what, settings)) is not None]
    if findings:
        raise _invalid(findings)
    return tuple(Term(what, read[what.value]["days"], read[what.value]["why"]) for what in What)


def _fault(entry: Any, what: What, settings: Settings) -> Finding | None:
    if not isinstance(entry, dict) or entry.keys() != {"days", "why"} or not isinstance(entry["why"], str):
        return _finding(what.value, "应有 days 与 why", "has `days` and `why`")
    days = entry["days"]
    if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= DAYS_MAX or not entry["why"].strip():
        return _finding(
            what.value, f"days 应为 0 至 {DAYS_MAX} 的整数，why 不为空", f"days is 0 to {DAYS_MAX}, why not empty"
        )
    if what is What.AUDIT_DETAILS and 0 < days < settings.audit_days:
        least = settings.audit_days
        return _finding(
            what.value, f"不少于设置 audit_days（{least}）", f"not less than the setting audit_days ({least})"
        )
    return None


def _finding(name: str, zh: str, en: str) -> Finding:
    return Finding("retention-invalid", zh, en, f"{FILE}/{name[:60]}")


def _invalid(findings: list[Finding]) -> ServiceError:
    return ServiceError("retention-invalid", "保存期限表有误", "the table of retention is not valid", findings=findings)


async def standing(access: Access) -> list[dict[str, Any]]:
    """Each term, and how many rows are past it."""
    found = []
    async with access.database.read() as conn:
        for term in load_terms(access.home, access.settings):
            past = await retention.count_past(conn, term.what, term.until_us(access.now_us)) if term.days else 0
            found.append({"what": term.what.value, "days": term.days, "past": past, "why": term.why})
    return found


async def apply(access: Access) -> dict[str, int]:
    """Drop what is past its time, each part with a row of the audit log in its transaction; how many rows of what.

    Raises:
        ServiceError: `retention-invalid`: then nothing is dropped.

    """
    dropped = {}
    for term in load_terms(access.home, access.settings):
        until_us, total = term.until_us(access.now_us), 0
        more = until_us > 0
        while more:
            async with access.database.write() as conn:
                count = await _drop(conn, term, until_us, access.now_us)
            total, more = total + count, count >= retention.TOGETHER
        if total:
            dropped[term.what.value] = total
    return dropped


async def _drop(conn: Connection, term: Term, until_us: int, now_us: int) -> int:
    about = f"{term.what.value} before {rfc3339(until_us)}: {term.days} d"
    if term.what is What.AUDIT_DETAILS:
        seqs = (await trail.before(conn, until_us))[: retention.TOGETHER]
        return await trail.erase(conn, seqs, Act(ERASE, PERSON, "", about=about, via="job"), now_us)
    count = await retention.drop_past(conn, term.what, until_us)
    if count:
        await trail.append(conn, Act(ACTION, PERSON, "", about=f"{about}: {count}", via="job"), now_us)
    return count
