"""Whether facts, lines and evidence of settlement are those that the log tells, and add up to what its accounts say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256

import cbor2

from ledger import store as ledger_store
from ledger.sql import Connection
from ledger.standing import Fault, Wrong
from voucher.lifecycle import Bucket
from voucher.settlement import claim as claims
from voucher.settlement import store
from voucher.settlement.accounts import ROOT, stage
from voucher.settlement.batch import Batch, State, fold
from voucher.settlement.fact import Fact, fact_of
from voucher.settlement.line import Line, digest_of

_FACT = Wrong("与日志所记的结算事实不符", "is not what the log says of the fact")
_LOST = Wrong("日志提到而表中没有", "is told by the log and is not there")
_LINES = Wrong("与批次所承诺的明细不符", "are not the lines that its batch commits to")
_TWICE = Wrong("同一明细列入两个有效批次", "is in two batches that were not returned", "conservation")
_SUM = Wrong("与账户余额不符", "is not what its account in the ledger has", "conservation")
_FILE = Wrong("内容与散列不符，或无人引用", "is not what its hash says, or no fact names it")


@dataclass(slots=True)
class SettlementTold:
    """What notes say, by number: digests of the rows that must be there; and which events no longer say it."""

    erased: set[bytes] = field(default_factory=set)
    facts: dict[int, bytes] = field(default_factory=dict)

    def note(self, body: bytes, event_id: bytes) -> None:
        """Collect what the payload of an entry says."""
        fact = fact_of(event_id, body)
        if fact is not None:
            self.facts[fact.number] = _digest(fact)


def _digest(fact: Fact) -> bytes:
    return sha256(cbor2.dumps(list(fact), canonical=True)).digest()


async def verify_settlement(conn: Connection, told: SettlementTold, *, named: bool) -> Fault | None:
    """The first row that the log does not tell, or that differs. Facts whose payload was erased are not compared.

    `named`: no account has lost its name; otherwise nobody can tell what the accounts of a payee have.
    """
    left, subjects = dict(told.facts), dict[str, list[Fact]]()
    async for fact in store.every_fact(conn):
        if fact.event_id not in told.erased and left.pop(fact.number, None) != _digest(fact):
            return _FACT.at(f"settlement_fact {fact.number}")
        subjects.setdefault(fact.subject, []).append(fact)
    if left:
        return _LOST.at(f"settlement_fact {min(left)}")
    batches = {name: fold(facts) for name, facts in subjects.items() if facts[0].kind == "prepare"}
    fault = await _check_lines(conn, batches) or await _check_files(conn, subjects)
    if fault is None and named:
        fault = await _check_sums(conn, batches, [some for some in subjects.values() if some[0].kind == "claim"])
    return fault


async def _check_lines(conn: Connection, batches: dict[str, Batch]) -> Fault | None:
    """Lines are those that batches commit to, and none is in two that count."""
    found: dict[str, list[Line]] = {name: [] for name in batches}
    live: dict[tuple[int, str, str], str] = {}
    async for name, line in store.every_line(conn):
        if name not in found:
            return _LINES.at(f"settlement_line of {name}")
        found[name].append(line)
        if batches[name].is_live and live.setdefault(line.place, name) != name:
            return _TWICE.at(f"settlement_line of {name}, entry {line.seq}")
    for name, lines in found.items():
        batch = batches[name]
        told = batch.lines_sha256, batch.net, batch.lines
        if told != (digest_of(lines), sum(line.units for line in lines), len(lines)):
            return _LINES.at(f"settlement_line of {name}")
    return None


async def _check_files(conn: Connection, subjects: dict[str, list[Fact]]) -> Fault | None:
    """Every kept file is what its hash says, and some fact names it; none that a fact keeps is gone."""
    named = {
        one["sha256"]
        for facts in subjects.values()
        for fact in facts
        for one in ([fact.content] if fact.kind == "evidence" else fact.content.get("evidence", []))
        if one["kept"]
    }
    async for digest, body in store.every_file(conn):
        if digest != sha256(body).hexdigest() or digest not in named:
            return _FILE.at(f"evidence_file {digest[:16]}")
        named.discard(digest)
    return _LOST.at(f"evidence_file {min(named)[:16]}") if named else None


async def _check_sums(conn: Connection, batches: dict[str, Batch], made: list[list[Fact]]) -> Fault | None:
    """What is claimed, payable, paid and recovered of each scheme and payee is what batches and claims come to."""
    sums: Counter[str] = Counter()
    for facts in made:
        claim = claims.fold(facts)
        if claim.is_live:
            sums[stage(claim.scheme, claim.payee, Bucket.CLAIMED)] += claim.units
    for batch in batches.values():
        _add(sums, batch)
    for account in await ledger_store.accounts_under(conn, f"{ROOT}/"):
        if sums.pop(account.name, 0) != account.balance:
            return _SUM.at(f"settlement, {account.name}")
    wrong = next((name for name, units in sums.items() if units), None)
    return None if wrong is None else _SUM.at(f"settlement, {wrong}")


def _add(sums: Counter[str], batch: Batch) -> None:
    def at(bucket: Bucket) -> str:
        return stage(batch.scheme, batch.payee, bucket)

    if batch.state is State.PREPARED and batch.claimed is not None:
        sums[at(Bucket.CLAIMED)] += batch.units
    elif batch.state is State.APPROVED:
        sums[at(Bucket.PAYABLE)] += batch.units
    elif batch.state is State.PAID:
        sums[at(Bucket.PAID)] += batch.units - batch.recovered - batch.refunded
        sums[at(Bucket.RECOVERED)] += batch.recovered
    if batch.claimed is None and batch.state in {State.APPROVED, State.PAID}:
        sums[at(Bucket.CLAIMED)] -= batch.units  # its claims are claimed no longer
