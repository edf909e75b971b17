"""Evidence of a batch: papers with their hashes, the delivery certificate made from metering, and all of it in one archive."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledger import store as ledger_store
from ledger.amount import CNY, parse_units
from ledger.errors import Finding, LedgerError
from ledger.journal import Journal
from ledger.sql import Connection
from ledger.transaction import Transaction
from suanquan.use_cases.ingest import Issuer, Rules
from suanquan.use_cases.job_parts import jobs_of_entry
from suanquan.use_cases.register import claim_costs
from suanquan.use_cases.settlement_facts import By, Wish
from suanquan.use_cases.settlement_reading import load_batch
from suanquan.use_cases.settlement_views import batch_object, line_object
from voucher.errors import VoucherError
from voucher.holder import is_uscc
from voucher.scheme import COST_KINDS
from voucher.settlement import store
from voucher.settlement.accounts import centre_of
from voucher.settlement.batch import GENERATED, Batch, InvoiceLine, State, require_state
from voucher.settlement.certificate import Row, certificate
from voucher.settlement.line import Line
from voucher.settlement.upload import fault_of

FILE_BYTES_MAX = 5 * 1024 * 1024
"""A paper that is kept; of a larger one its hash is."""
LINES_MAX = 100
"""Lines of one invoice."""
_KIND = re.compile(r"[a-z][a-z_]{0,39}")
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]{1,120}")
_LINE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_HASH = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9A-Za-z-]{4,40}")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every file in an archive, so that the same evidence makes the same bytes."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper as given: its content (or only its hash), and what an invoice says."""

    kind: str
    name: str
    sha256: str
    body: bytes | None
    invoice: tuple[str, str, int] | None
    lines: tuple[InvoiceLine, ...] = ()

    @property
    def content(self) -> dict[str, Any]:
        """What a fact keeps of it."""
        invoice = None if self.invoice is None else list(self.invoice)
        kept = self.body is not None
        said = {"kind": self.kind, "name": self.name, "sha256": self.sha256, "kept": kept, "invoice": invoice}
        return said | ({"lines": [list(line) for line in self.lines]} if self.lines else {})


def read_paper(given: Mapping[str, Any]) -> Paper:
    """A paper: kind, name, and `content` in base64 or the `sha256` of what is kept elsewhere; an invoice has an `invoice`.

    Raises:
        VoucherError: `evidence-malformed` with the member at fault.

    """
    kind, name = _text(given, "kind", _KIND), _text(given, "name", _NAME)
    unknown = given.keys() - {"kind", "name", "content", "sha256", "invoice"}
    if unknown:
        raise _malformed(min(unknown)[:60], "没有这一项", "is not known here")
    if kind == GENERATED:
        raise _malformed("kind", "由系统据计量生成，不能上传", "is made from metering and cannot be given")
    body = _content(given.get("content"))
    if body is not None and (fault := fault_of(name, body)) is not None:
        raise _malformed("content", *fault)
    digest = sha256(body).hexdigest() if body is not None else _text(given, "sha256", _HASH)
    if body is not None and given.get("sha256", digest) != digest:
        raise _malformed("sha256", "与内容不符", "is not that of the content")
    if kind != "invoice":
        return Paper(kind, name, digest, body, None)
    invoice = _invoice(given.get("invoice"))
    return Paper(kind, name, digest, body, invoice, _lines(given["invoice"].get("lines", []), invoice[2]))


async def add_paper(journal: Journal, by: By, batch: str, paper: Paper) -> Batch:
    """Add a paper to a batch that is not closed. An invoice is good for one batch or claim, whoever brings it.

    Raises:
        VoucherError: `batch-state`.
        SubsidyError: `supported-already` for an invoice that was used.

    """

    async def work(tx: Transaction) -> Batch:
        wish = Wish(tx, by, "evidence", batch, paper.content)
        found = await load_batch(tx.connection, batch)
        if await wish.recorded() is None:
            require_state(found, State.PREPARED)
            await keep(tx, paper)
            await wish.record(paper.content, await invoice_events(tx, batch, [paper]))
        return await load_batch(tx.connection, batch)

    return await journal.transact(work)


async def keep(tx: Transaction, paper: Paper) -> None:
    """Keep the content of a paper, if it came."""
    if paper.body is not None:
        await store.keep_file(tx.connection, paper.sha256, paper.name, paper.body)


async def invoice_events(tx: Transaction, subject: str, papers: list[Paper]) -> list[Any]:
    """Claim invoices in the register of what is supported, by number and issuer."""
    costs = [
        {"issuer": paper.invoice[1], "document": paper.invoice[0]} for paper in papers if paper.invoice is not None
    ]
    return await claim_costs(tx, subject, costs) if costs else []


async def certify(journal: Journal, rules: Rules, by: By, batch: str) -> Batch:
    """Make the delivery certificate of a batch from metering.

    Raises:
        VoucherError: `batch-state`.

    """

    async def work(tx: Transaction) -> Batch:
        found = await load_batch(tx.connection, batch)
        require_state(found, State.PREPARED)
        body = certificate(await _rows(tx, rules, found, await store.lines_of(tx.connection, batch)))
        paper = Paper(GENERATED, f"{batch}-delivery.csv", sha256(body).hexdigest(), body, None)
        wish = Wish(tx, by, "evidence", batch, paper.content)
        if await wish.recorded() is None:
            await keep(tx, paper)
            await wish.record(paper.content)
        return await load_batch(tx.connection, batch)

    return await journal.transact(work)


async def _rows(tx: Transaction, rules: Rules, found: Batch, lines: list[Line]) -> list[Row]:
    centre = centre_of(found.payee)
    rows = []
    for seq in dict.fromkeys(line.seq for line in lines if line.kind != "claim"):
        entry = await ledger_store.load_entry(tx.connection, seq)
        if entry is None or centre is None:
            continue
        for job, sign in await jobs_of_entry(tx, rules, centre, entry):
            parts = [part for part in job.parts if part.scheme == found.scheme]
            rows += [
                Row(seq, centre, job.account, job.about, job.price, part.jti, part.units, sign * abs(job.own))
                for part in parts
            ]
    return rows


async def bundle(conn: Connection, found: Batch, issuer: Issuer) -> bytes:
    """All evidence of a batch as a ZIP archive: its state, its lines, every kept paper, and a signed list of hashes."""
    lines = await store.lines_of(conn, found.id)
    files = {
        "batch.json": _json(batch_object(found)),
        "lines.json": _json([line_object(line) for line in lines]),
    }
    for at, one in enumerate(found.evidence, 1):
        body = await store.load_file(conn, one.sha256) if one.kept else None
        if body is not None:
            files[f"evidence/{at:02d}-{one.kind}-{one.name}"] = body
    listed = "".join(f"{sha256(body).hexdigest()}  {name}\n" for name, body in files.items()).encode()
    files["SHA256SUMS"] = listed
    files["SHA256SUMS.sig"] = base64.b64encode(issuer.sign(listed)) + b"\n"
    files["SHA256SUMS.kid"] = issuer.kid.encode() + b"\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(zipfile.ZipInfo(f"{found.id}/{name}", _EPOCH), body, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def _content(given: object) -> bytes | None:
    if given is None:
        return None
    try:
        body = base64.b64decode(given if isinstance(given, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("content", "应为 base64", "must be base64") from None
    if not 0 < len(body) <= FILE_BYTES_MAX:
        limit = f"{FILE_BYTES_MAX:,}"
        raise _malformed("content", f"应为 1 至 {limit} 字节", f"must be 1 to {limit} bytes")
    return body


def _invoice(given: object) -> tuple[str, str, int]:
    if not isinstance(given, Mapping) or given.keys() - {"lines"} != {"number", "issuer", "amount_yuan"}:
        raise _malformed(
            "invoice",
            "须有 number、issuer、amount_yuan，可有 lines",
            "has a number, an issuer and an amount_yuan, and may have lines",
        )
    number, issuer = _text(given, "number", _NUMBER, "invoice/"), given["issuer"]
    if not isinstance(issuer, str) or not is_uscc(issuer):
        raise _malformed("invoice/issuer", "应为统一社会信用代码", "must be a unified social credit code")
    return number, issuer, _yuan(given["amount_yuan"], "invoice/amount_yuan")


def _lines(given: object, total: int) -> tuple[InvoiceLine, ...]:
    """The lines of an invoice as they stand on it; together they are its amount. An invoice may be taken down without them."""
    if not isinstance(given, list) or len(given) > LINES_MAX:
        raise _malformed("invoice/lines", f"应为至多 {LINES_MAX} 行的列表", f"must be a list of at most {LINES_MAX}")
    lines = tuple(_line(line, f"invoice/lines/{at}") for at, line in enumerate(given))
    if lines and sum(line.units for line in lines) != total:
        raise _malformed("invoice/lines", "各行之和应等于 amount_yuan", "must add up to amount_yuan")
    return lines


def _line(given: object, where: str) -> InvoiceLine:
    if not isinstance(given, Mapping) or given.keys() != {"kind", "amount_yuan", "text"}:
        raise _malformed(where, "须有 kind、amount_yuan、text", "has a kind, an amount_yuan and a text")
    if given["kind"] not in COST_KINDS:
        listed = ", ".join(COST_KINDS)
        raise _malformed(f"{where}/kind", f"应为其中之一：{listed}", f"must be one of: {listed}")
    units = _yuan(given["amount_yuan"], f"{where}/amount_yuan")
    return InvoiceLine(given["kind"], units, _text(given, "text", _LINE, f"{where}/"))


def _yuan(given: object, where: str) -> int:
    try:
        units = parse_units(given if isinstance(given, str) else "", CNY)
    except LedgerError:
        units = 0
    if units <= 0:
        raise _malformed(where, "应为大于零的十进制元", "must be yuan as a decimal in quotes, more than zero")
    return units


def _text(given: Mapping[str, Any], name: str, form: re.Pattern[str], before: str = "") -> str:
    value = given.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _malformed(before + name, "应为规定格式的文字", "must be text of its form")
    return value


def _malformed(where: str, zh: str, en: str) -> VoucherError:
    finding = Finding("evidence-malformed", zh, en, f"/{where}")
    return VoucherError("evidence-malformed", f"材料的 /{where} {zh}", f"the paper's /{where} {en}", findings=[finding])
