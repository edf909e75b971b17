"""Decide on an application: evaluate, check what the office rules, record, log and sign in one transaction; and show it again."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import cbor2

from ledger.entry import EntryKind, Event
from ledger.errors import Kind, LedgerError
from ledger.journal import Journal
from ledger.scope import EVERYTHING, Scope
from ledger.sql import Connection
from ledger.transaction import Transaction
from metering.zones import SHANGHAI, rfc3339
from suanquan.db.notices import put
from suanquan.errors import ServiceError
from suanquan.notices.model import Kind as NoticeKind
from suanquan.notices.model import Notice, of_holder
from suanquan.use_cases.decision_office import DecisionDesk, read_letter_words
from suanquan.use_cases.subsidies import rules_folder
from subsidy import store
from subsidy.decision import (
    FORMAT,
    SALT_BYTES,
    RuleBook,
    canonical,
    digest_of,
    parse,
    plain_facts,
    say,
    signing_input,
    token_of,
)
from subsidy.errors import SubsidyError
from subsidy.evaluate import evaluate
from subsidy.facts import Facts, read_facts
from subsidy.fields import Faults, Fields
from subsidy.outcome import Outcome
from subsidy.ruling import Ruling, award_of, check_ruling, yuan_of
from subsidy.store import StoredDecision
from subsidy.yaml_text import read_yaml
from voucher.holder import check_uscc

NAME_MAX = 255
NOTE_TYPE = "decision"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_DIGITS = 12


def _pointer(name: str) -> str:
    return f"/facts/{name}"


class Application(NamedTuple):
    """What is decided on: whose application for what, received on which day (Asia/Shanghai), under which clause, with which facts.

    `place` says where a fact was written, for what is said of a wrong one.
    """

    applicant: str
    uscc: str
    project: str
    clause: str
    on: dt.date
    facts: Mapping[str, object]
    place: Callable[[str], str] = _pointer


def read_application(text: str, source: str, case: str | None = None) -> Application:
    """One case of a file of cases, as `subsidy evaluate` reads them; who applies for what is for the caller to add.

    Raises:
        SubsidyError: `yaml-refused`, `document-malformed`, `case-unknown`, or `case-ambiguous` where several may be meant.

    """
    faults = Faults(source)
    tables = list(Fields(faults, read_yaml(text, source), "").tables("cases", required=True))
    chosen = [fields for fields in tables if case in (None, fields.text("id"))]
    faults.raise_any()
    if len(chosen) != 1:
        names = ", ".join(fields.text("id") for fields in chosen or tables)
        raise SubsidyError(
            "case-ambiguous" if chosen else "case-unknown",
            f"{source} 中须指明一案（--case），其中有：{names}",
            f"name one case of {source} with --case; there are {names}",
            kind=Kind.INVALID if chosen else Kind.NOT_FOUND,
        )
    [fields] = chosen
    facts = fields.table("facts")
    application = Application("", "", "", fields.text("clause"), fields.day("date"), facts.raw, facts.place)
    faults.raise_any()
    return application


class Order(NamedTuple):
    """A ruling on an application by an officer; `key` makes the request repeatable, `corrects` names the decision it replaces."""

    application: Application
    ruling: Ruling
    officer: str
    key: str
    corrects: str | None = None

    @property
    def event_id(self) -> bytes:
        """Id of the log entry, from the idempotency key."""
        return sha256(b"decision\0" + self.key.encode()).digest()[:16]

    @property
    def content(self) -> bytes:
        """What tells another request under the same key apart."""
        asked = self.application
        facts = {name: repr(value) for name, value in asked.facts.items()}
        ruling = self.ruling
        parts = [
            *(asked.applicant, asked.uscc, asked.project, asked.clause, asked.on.isoformat(), facts),
            *(ruling.verdict.value, ruling.reason, ruling.award_fen, dict(ruling.answers)),
            *(self.officer, self.corrects),
        ]
        return cbor2.dumps(parts, canonical=True)


async def decide(journal: Journal, desk: DecisionDesk, order: Order) -> StoredDecision:
    """Make a decision; the same order under the same key gets the same decision again.

    Raises:
        DomainError: `clause-unknown`, `facts-invalid`, `ruling-refused` with every reason, `text-invalid`, no valid USCC,
            `decision-unknown` or `decision-corrected` of the one to correct, `idempotency-key-reused`, `decision-key-missing`.

    """
    _check_order(order)
    desk.signing()
    await asyncio.to_thread(lambda: desk.book)

    async def work(tx: Transaction) -> StoredDecision:
        earlier = await store.find_decision(tx.connection, order.event_id)
        if earlier is None:
            return await _record(tx, desk, order)
        await _require_same(tx, order)
        return earlier

    return await journal.transact(work)


async def _require_same(tx: Transaction, order: Order) -> None:
    """The ledger answers an event with its entry only if it is the same request."""
    try:
        await tx.append([Event(EntryKind.NOTE, order.event_id, tx.keyed(order.content))])
    except LedgerError as error:
        raise ServiceError(
            "idempotency-key-reused",
            "该 Idempotency-Key 已用于内容不同的请求",
            "this Idempotency-Key was used for a different request",
            kind=Kind.CONFLICT,
        ) from error


def _check_order(order: Order) -> None:
    asked = order.application
    check_uscc(asked.uscc)
    for zh, en, text in (
        ("申请人名称", "applicant's name", asked.applicant),
        ("项目名称", "name of the project", asked.project),
        ("经办人", "officer", order.officer),
    ):
        if not 0 < len(text) <= NAME_MAX or not text.isprintable():
            raise ServiceError(
                "text-invalid",
                f"{zh}应为 1 至 {NAME_MAX} 个可见字符",
                f"the {en} must be 1 to {NAME_MAX} printable characters",
            )


def _evaluated(book: RuleBook, order: Order) -> tuple[Facts, Outcome]:
    asked = order.application
    facts, findings = read_facts(book.policies.facts, asked.facts, asked.place)
    if findings:
        raise SubsidyError("facts-invalid", "事实有误", "the facts are not valid", findings=findings)
    outcome = evaluate(book.policies, asked.clause, facts, asked.on)
    if findings := check_ruling(order.ruling, outcome):
        raise SubsidyError(
            "ruling-refused", "该决定与规则不符", "this ruling does not agree with the rules", findings=findings
        )
    return facts, outcome


async def _record(tx: Transaction, desk: DecisionDesk, order: Order) -> StoredDecision:
    facts, outcome = _evaluated(desk.book, order)
    kid, sign = desk.signing()
    words = read_letter_words(rules_folder(desk.home.config, "letters") / "letters.toml")
    now_us, salt = tx.now_ns // 1000, tx.entropy(SALT_BYTES).hex()
    said = say(desk.book, outcome, facts, salt)
    record = {
        "format": FORMAT,
        "id": _new_id(now_us, tx.entropy(8)),
        "issuer": desk.issuer,
        "sandbox": desk.sandbox,
        "key": kid,
        "decided_us": now_us,
        "salt": salt,
        **_asked(order, outcome),
        **said,
        "corrects": await _corrected(tx.connection, order.corrects),
        "remedies": words.remedies,
        "departments": [words.departments.get(name, name) for name in said["explanation"]["departments"]],
    }
    stored = StoredDecision(
        id=record["id"],
        applicant=order.application.uscc,
        decided_us=now_us,
        corrects=order.corrects,
        event_id=order.event_id,
        record=canonical(record),
        facts=canonical(plain_facts(facts)),
        signature=sign(signing_input(record)),
    )
    await tx.append([_note(tx, order, record)])
    await store.write_decision(tx.connection, stored)
    about = order.application.project
    zh, en = f"决定 {stored.id} 已作出（{about}）", f"decision {stored.id} was made ({about})"
    told = Notice(NoticeKind.DECISION_MADE, of_holder(stored.applicant), stored.id, zh, en, {"decision": stored.id})
    await put(tx.connection, told, now_us)
    bodies = (text.encode() for text in desk.book.texts.values())
    await store.write_documents(tx.connection, {sha256(body).digest(): body for body in bodies})
    return stored


def _asked(order: Order, outcome: Outcome) -> dict[str, Any]:
    asked, ruling = order.application, order.ruling
    return {
        "applicant": {"name": asked.applicant, "uscc": asked.uscc},
        "project": asked.project,
        "clause": asked.clause,
        "on": asked.on.isoformat(),
        "verdict": ruling.verdict.value,
        "award_fen": award_of(ruling, outcome),
        "reason": ruling.reason,
        "answers": dict(ruling.answers),
        "officer": order.officer,
    }


def _note(tx: Transaction, order: Order, record: Mapping[str, Any]) -> Event:
    """The log commits to the record's digest under a salt; in the open stand only the rules, and who cannot be guessed."""
    payload = {"id": record["id"], "type": NOTE_TYPE, "sha256": digest_of(record)}
    return Event(
        EntryKind.NOTE,
        order.event_id,
        tx.keyed(order.content),
        ruleset=sha256(canonical(record["documents"])).digest(),
        actor=sha256(b"officer\0" + order.officer.encode()).digest()[:8],
        salt=tx.entropy(32),
        payload=cbor2.dumps(payload, canonical=True),
    )


async def _corrected(conn: Connection, decision_id: str | None) -> dict[str, str] | None:
    if decision_id is None:
        return None
    original = await load(conn, decision_id, EVERYTHING)
    newer = await store.find_correction(conn, decision_id)
    if newer is not None:
        raise ServiceError(
            "decision-corrected",
            f"决定 {decision_id} 已由 {newer.id} 更正；请更正后者",
            f"the decision {decision_id} was corrected by {newer.id}; correct that one",
            kind=Kind.CONFLICT,
        )
    return {"id": decision_id, "sha256": sha256(original.record).hexdigest()}


def _new_id(now_us: int, entropy: bytes) -> str:
    """`SQD-` with the day in Shanghai and 60 random bits: it can be read aloud, and not guessed."""
    number = int.from_bytes(entropy)
    digits = "".join(_ALPHABET[number >> 5 * at & 31] for at in range(_ID_DIGITS))
    day = dt.datetime.fromtimestamp(now_us // 1_000_000, SHANGHAI)
    return f"SQD-{day:%Y%m%d}-{digits}"


async def load(conn: Connection, decision_id: str, scope: Scope) -> StoredDecision:
    """The decision of this id; one outside the scope is as unknown as one that is not there.

    Raises:
        ServiceError: `decision-unknown`.

    """
    found = await store.load_decision(conn, decision_id, scope)
    if found is None:
        raise ServiceError(
            "decision-unknown", f"没有决定 {decision_id[:40]}", f"no decision {decision_id[:40]!r}", kind=Kind.NOT_FOUND
        )
    return found


async def public_object(conn: Connection, stored: StoredDecision) -> dict[str, Any]:
    """What everybody may know of a decision: its digest, its signed statement, and whether another corrects it."""
    newer = await store.find_correction(conn, stored.id)
    return {
        "id": stored.id,
        "sha256": sha256(stored.record).hexdigest(),
        "token": token_of(parse(stored.record), stored.signature),
        "in_force": newer is None,
        "corrects": stored.corrects,
        "corrected_by": None if newer is None else newer.id,
    }


def listed_object(stored: StoredDecision) -> dict[str, Any]:
    """A decision as one line of a list, for officers."""
    record = parse(stored.record)
    return {
        "id": stored.id,
        "applicant": record["applicant"],
        "project": record["project"],
        "clause": record["clause"],
        "verdict": record["verdict"],
        "award_yuan": None if record["award_fen"] is None else yuan_of(record["award_fen"]),
        "decided_at": rfc3339(stored.decided_us),
        "corrects": stored.corrects,
    }


def mismatch() -> ServiceError:
    """The refusal of a statement that is not that of this decision."""
    return ServiceError(
        "decision-mismatch",
        "该声明与此决定不符",
        "the statement is not that of this decision",
        kind=Kind.PROOF,
    )


async def decision_file(conn: Connection, stored: StoredDecision) -> dict[str, Any]:
    """All that is needed to replay a decision offline: record, facts, signed statement and the documents applied."""
    record = parse(stored.record)
    digests = {bytes.fromhex(entry["sha256"]): entry["file"] for entry in record["documents"]}
    bodies = await store.load_documents(conn, digests)
    return {
        "record": record,
        "facts": parse(stored.facts),
        "token": token_of(record, stored.signature),
        "documents": {digests[digest]: body.decode() for digest, body in bodies.items()},
    }
