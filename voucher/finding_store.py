"""SQL of findings and of what reviewers know of parties, on a connection that the caller owns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ledger.sql import Conflict, Connection, execute_all, insert_rows, select_in
from voucher import tables
from voucher.finding import Evidence
from voucher.findings import State


@dataclass(frozen=True, slots=True)
class Kept:
    """A finding as kept, without its evidence."""

    id: str
    pattern: str
    subject: str
    zh: str
    en: str
    question: str
    found_us: int


class Seen(NamedTuple):
    """Evidence of a finding as it was put together at an instant; the highest number is the newest."""

    number: int
    evidence: tuple[Evidence, ...]
    seen_us: int


class Review(NamedTuple):
    """A decision of a reviewer; `evidence` is the number of what he had before him."""

    number: int
    state: State
    officer: str
    reason: str
    evidence: int
    at_us: int


class RunRow(NamedTuple):
    """How far a run of the checks had looked, and what came of it."""

    number: int
    at_us: int
    last_batch: int
    judged_us: int
    raised: int
    renewed: int


class Trait(NamedTuple):
    """Something that ties parties together: its blinded value, and what of it a reviewer may read."""

    party: str
    kind: str
    blinded: str
    shown: str
    origin: str
    recorded_us: int


class Sanction(NamedTuple):
    """A party that may not apply for a time, by which decision."""

    number: int
    party: str
    decision: str
    from_us: int
    until_us: int
    officer: str
    recorded_us: int


class Tip(NamedTuple):
    """What somebody told of a provider."""

    number: int
    provider: str
    message: str
    officer: str
    recorded_us: int


def evidence_bytes(evidence: Sequence[Evidence]) -> bytes:
    """Evidence as it is kept: JSON, in its order."""
    return json.dumps(evidence, ensure_ascii=False, separators=(",", ":")).encode()


async def newest_evidence(conn: Connection, ids: Iterable[str]) -> dict[str, Seen]:
    """The newest evidence of those of these findings that are kept."""
    text = "SELECT finding, number, body, seen_us FROM finding_evidence WHERE finding"
    found: dict[str, Seen] = {}
    for rows in await execute_all(conn, select_in(text, ids)):
        for finding, number, body, seen_us in rows:
            if finding not in found or number > found[finding].number:
                found[finding] = Seen(number, _evidence(body), seen_us)
    return found


def _evidence(body: bytes) -> tuple[Evidence, ...]:
    return tuple(Evidence(*item) for item in json.loads(body))


async def reviews_of(conn: Connection, ids: Iterable[str]) -> dict[str, list[Review]]:
    """Decisions on these findings, oldest first."""
    text = "SELECT finding, number, state, officer, reason, evidence, at_us FROM finding_review WHERE finding"
    found: dict[str, list[Review]] = {}
    for rows in await execute_all(conn, select_in(text, ids)):
        for finding, number, state, *rest in sorted(rows):
            found.setdefault(finding, []).append(Review(number, State(state), *rest))
    return found


_KEPT = "SELECT f.id, f.pattern, f.subject, f.zh, f.en, f.question, f.found_us FROM finding f"
_STATE = (
    "coalesce((SELECT r.state FROM finding_review r WHERE r.finding = f.id ORDER BY r.number DESC LIMIT 1), 'open')"
)


async def load_finding(conn: Connection, finding: str) -> Kept | None:
    """A finding of this id."""
    [rows] = await execute_all(conn, [(f"{_KEPT} WHERE f.id = ?", (finding,))])
    return Kept(*rows[0]) if rows else None


async def list_findings(
    conn: Connection, *, state: str | None, pattern: str | None, subject: str | None, after: str, limit: int
) -> list[Kept]:
    """Findings, newest first, from just behind the one named `after`."""
    wanted = [(f"{_STATE} = ?", state), ("f.pattern = ?", pattern), ("f.subject = ?", subject)]
    chosen = [(text, value) for text, value in wanted if value is not None]
    values: list[object] = [value for _, value in chosen]
    texts = [text for text, _ in chosen]
    if after:
        texts.append(
            "(f.found_us < (SELECT a.found_us FROM finding a WHERE a.id = ?) OR "
            "(f.found_us = (SELECT a.found_us FROM finding a WHERE a.id = ?) AND f.id > ?))"
        )
        values += [after, after, after]
    where = f" WHERE {' AND '.join(texts)}" if texts else ""
    statement = f"{_KEPT}{where} ORDER BY f.found_us DESC, f.id LIMIT ?"
    [rows] = await execute_all(conn, [(statement, (*values, limit))])
    return [Kept(*row) for row in rows]


async def count_open(conn: Connection) -> dict[str, int]:
    """How many findings of each check are open."""
    text = f"SELECT f.pattern, count(*) FROM finding f WHERE {_STATE} = 'open' GROUP BY f.pattern"  # noqa: S608 -- own text
    [rows] = await execute_all(conn, [(text, ())])
    return {pattern: int(count) for pattern, count in rows}


async def count_open_by_subject(conn: Connection) -> dict[str, int]:
    """How many open findings there are about each subject."""
    text = f"SELECT f.subject, count(*) FROM finding f WHERE {_STATE} = 'open' GROUP BY f.subject"  # noqa: S608 -- own text
    [rows] = await execute_all(conn, [(text, ())])
    return {str(subject): int(count) for subject, count in rows}


async def count_states(conn: Connection) -> dict[tuple[str, str], int]:
    """How many findings of each check are in each state."""
    text = f"SELECT pattern, state, count(*) FROM (SELECT f.pattern, {_STATE} AS state FROM finding f) s GROUP BY 1, 2"  # noqa: S608 -- own text
    [rows] = await execute_all(conn, [(text, ())])
    return {(str(pattern), str(state)): int(count) for pattern, state, count in rows}


async def write_findings(conn: Connection, findings: Sequence[Kept]) -> None:
    """Append findings."""
    await insert_rows(conn, tables.finding, [tuple(getattr(one, name) for name in Kept.__slots__) for one in findings])


async def write_evidence(conn: Connection, rows: Sequence[tuple[str, Seen]]) -> None:
    """Append evidence of findings."""
    values = [(finding, seen.number, evidence_bytes(seen.evidence), seen.seen_us) for finding, seen in rows]
    await insert_rows(conn, tables.finding_evidence, values)


async def write_review(conn: Connection, finding: str, review: Review) -> None:
    """Append a decision."""
    await insert_rows(conn, tables.finding_review, [(finding, review.number, review.state.value, *review[2:])])


async def last_run(conn: Connection) -> RunRow:
    """The newest run; all zero before the first."""
    text = "SELECT number, at_us, last_batch, judged_us, raised, renewed FROM finding_run ORDER BY number DESC LIMIT 1"
    [rows] = await execute_all(conn, [(text, ())])
    return RunRow(*rows[0]) if rows else RunRow(0, 0, 0, 0, 0, 0)


async def write_run(conn: Connection, run: RunRow) -> None:
    """Append a run."""
    await insert_rows(conn, tables.finding_run, [tuple(run)])


async def put_traits(conn: Connection, traits: Sequence[Trait]) -> None:
    """Keep traits; one that is known gets its new origin."""
    await insert_rows(conn, tables.party_trait, [tuple(one) for one in traits], Conflict.REPLACE)


async def load_traits(conn: Connection, party: str | None = None) -> list[Trait]:
    """Traits of a party, or of all, in order."""
    text = "SELECT party, kind, blinded, shown, origin, recorded_us FROM party_trait"
    where, values = (" WHERE party = ?", (party,)) if party is not None else ("", ())
    [rows] = await execute_all(conn, [(f"{text}{where} ORDER BY party, kind, blinded", values)])
    return [Trait(*row) for row in rows]


async def drop_traits(conn: Connection, party: str) -> int:
    """Forget what ties a party to others; how many traits that were."""
    text = "DELETE FROM party_trait WHERE party = ? RETURNING 1"
    [rows] = await execute_all(conn, [(text, (party,))])
    return len(rows)


async def add_sanction(conn: Connection, sanction: Sanction) -> int:
    """Append a sanction under the next number, which is returned."""
    number = await _next(conn, "sanction")
    await insert_rows(conn, tables.sanction, [tuple(sanction._replace(number=number))])
    return number


async def load_sanctions(conn: Connection) -> list[Sanction]:
    """Every sanction, oldest first."""
    text = "SELECT number, party, decision, from_us, until_us, officer, recorded_us FROM sanction ORDER BY number"
    [rows] = await execute_all(conn, [(text, ())])
    return [Sanction(*row) for row in rows]


async def add_tip(conn: Connection, tip: Tip) -> int:
    """Append what was told under the next number, which is returned."""
    number = await _next(conn, "tip")
    await insert_rows(conn, tables.tip, [tuple(tip._replace(number=number))])
    return number


async def load_tips(conn: Connection) -> list[Tip]:
    """What was told, oldest first."""
    text = "SELECT number, provider, message, officer, recorded_us FROM tip ORDER BY number"
    [rows] = await execute_all(conn, [(text, ())])
    return [Tip(*row) for row in rows]


async def _next(conn: Connection, table: str) -> int:
    [[(last,)]] = await execute_all(conn, [(f"SELECT coalesce(max(number), 0) FROM {table}", ())])  # noqa: S608 -- own names
    return int(last) + 1


async def holders(conn: Connection) -> list[tuple[str, str, bytes]]:
    """Id, holder and signed bytes (as JWT) of every voucher."""
    [rows] = await execute_all(conn, [("SELECT jti, holder, jwt_input FROM voucher ORDER BY jti", ())])
    return [(row[0], row[1], row[2]) for row in rows]


async def issued_sums(conn: Connection, asset: int) -> list[tuple[str, int, str, int]]:
    """Scheme, calendar year, holder and units of vouchers that were issued to him, without parts that were split off."""
    text = (
        "SELECT v.scheme, v.year, v.holder, v.units FROM voucher v WHERE v.asset = ? AND NOT EXISTS "
        "(SELECT 1 FROM outflow o WHERE o.child = v.jti)"
    )
    [rows] = await execute_all(conn, [(text, (asset,))])
    return [(row[0], row[1], row[2], row[3]) for row in rows]
