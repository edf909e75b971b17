"""A ledger with everything in it: usage, vouchers, and every kind of entry."""

import asyncio
import json
from hashlib import sha256
from pathlib import Path

from ledger.amount import CNY
from ledger.checkpoint import Checkpoint
from ledger.entry import EntryKind
from ledger.store import load_entries
from metering.batch import decode_cloudevents
from metering.quarantine import Verdict
from suanquan.catalog import load_catalog
from suanquan.db.place import Place
from suanquan.home import Home
from suanquan.office import load_office
from suanquan.use_cases.admission import spendable
from suanquan.use_cases.decisions import decide
from suanquan.use_cases.desk import Amendment, amend, decide_waiting
from suanquan.use_cases.evidence import Paper, add_paper, certify
from suanquan.use_cases.ingest import Issuer, Request, Rules, ingest
from suanquan.use_cases.issue import Order, issue
from suanquan.use_cases.payees import confirm_payee, set_payee
from suanquan.use_cases.procedure import Proceedings
from suanquan.use_cases.quarantine import Decision
from suanquan.use_cases.quarantine import Place as Waiting
from suanquan.use_cases.settlement_facts import By
from suanquan.use_cases.settlements import Settlements
from suanquan.use_cases.setup import bind_account, register_centre
from suanquan.use_cases.spend_acts import Capture, Hold
from suanquan.use_cases.till import Till
from tests.back_ends import rows
from tests.ledger.desk import Desk, codes, gathered, make_ledger
from tests.ledger.notation import event
from tests.shared_data import ROOT
from tests.subsidy.decisions import decision_desk, refusal
from tests.subsidy.procedure_samples import (
    APPROVE,
    CALL,
    COMPANY,
    FANG,
    PAY,
    POST,
    REVIEW,
    Clock,
    application,
    materials,
)
from tests.voucher.samples import HOLDER_KEY, ISSUER, KEY, PRIVATE
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.keys import KeyRegistry
from voucher.presentation import Presentation

CATALOG = load_catalog(ROOT / "config")
RULES = Rules(CATALOG.tariffs, CATALOG.series, CATALOG.digest)
KEYS = KeyRegistry(ISSUER).announced(KEY).activated(KEY.kid)
DECISIONS = decision_desk(PRIVATE)
NOW_S = 1_780_000_000


STORY = """
    open treasury
    open v1 floor 0
    open centre ceiling 5000
    open lab
    asset GPU.s:H100=16/3
    treasury → v1 100
    hold h1: v1 → centre 10
    hold h2: v1 → centre 10; treasury → lab 3 until {soon}
    hold h3: v1 → centre 10; treasury → lab 9
    hold h4: v1 → centre 10 until {later}
    hold h5: v1 → centre 10
    capture h1 4
    capture h3 3 + 1 final
    release h5
    paid: treasury → centre 9
    reverse paid: centre → treasury 2
    v1 → centre 1 dated {ended}
    v1 → centre 2 dated {ended}
    treasury → lab 1 dated 86400000000000
    close period {ended}
    v1 → centre 1 dated 7 late
    limit lab floor -100
    freeze lab
    free lab
    mark v1
    open gone
    close gone
"""


def body(centre: str, first: int, count: int, model: str = "H800", *, final: bool = True) -> bytes:
    """A batch of one-hour jobs of three accounts."""
    return json.dumps(
        [
            {
                "specversion": "1.0",
                "type": "cn.suanquan.usage.interval.v1",
                "source": f"urn:centre:{centre}:agent:a",
                "id": f"job-{at:05}",
                "time": "2026-05-01T00:00:00Z",
                "subject": f"lab-{at % 3}",
                "sequence": str(at),
                "data": {
                    "job": str(at),
                    "attempt": 0,
                    "start": "2026-04-30T00:00:00Z",
                    "end": "2026-04-30T01:00:00Z",
                    "active_s": 3600,
                    "accelerators": [{"model": model, "count_milli": 8000}],
                    "state": "COMPLETED",
                    "final": final,
                },
            }
            for at in range(first, first + count)
        ]
    ).encode()


def make_full(place: Place) -> None:
    """A new ledger, filled: `new_database(make_full)`."""

    async def make() -> None:
        await make_ledger(place)
        await fill(place)

    asyncio.run(make())


async def send(desk: Desk, centre: str, content: bytes) -> None:
    digest = sha256(content).digest()
    about = Request(centre, "kid", digest.hex(), 0, digest.hex(), digest)
    batch = decode_cloudevents(content, desk.now_ns // 1000)
    issuer = Issuer(ISSUER, KEY.kid, PRIVATE.sign)
    await desk.journal.transact(lambda tx: ingest(tx, about, batch, RULES, issuer))


async def revise(desk: Desk, name: str) -> None:
    """Revise a record of sj01, as two persons of the office do."""
    await amend(
        desk.journal, RULES, Amendment("urn:centre:sj01:agent:a", name, "甲", "多计", "乙", changes={"active_ms": 5})
    )


async def fill(path: Place) -> None:
    """Centres, bindings, vouchers of both units, usage of two centres, entries of every kind, a full tile, a checkpoint."""
    desk = Desk(path)
    async with desk:
        await settle_a_quarter(desk)
        desk.now_ns = NOW_S * 10**9
        for centre in ("sj01", "sj02"):
            await register_centre(desk.journal, CATALOG, centre, "松江", {"H800": 64})
            await bind_account(desk.journal, centre, "lab-0", sandbox_uscc(1))
        for key, unit in (("a", "CNY"), ("b", "PFLOPS.h")):
            order = Order(IssueRequest(sandbox_uscc(1), unit, "20"), CATALOG.schemes["cn-sh-songjiang-sandbox"], key)
            await issue(desk.journal, order, KEYS, PRIVATE.sign)
        await send(desk, "sj01", body("sj01", 0, 10))
        await send(desk, "sj02", body("sj02", 0, 5))
        await send(desk, "sj01", body("sj01", 8, 7))
        await send(desk, "sj01", body("sj01", 0, 3))
        await send(desk, "sj02", body("sj02", 50, 3, model="unheard-of"))
        await send(desk, "sj02", body("sj02", 60, 2, final=False))
        await revise(desk, "job-00001")
        waits = Decision(Waiting(5, 1), Verdict.REJECT, "甲", "无此型号")
        await decide_waiting(desk.journal, RULES, waits)
        book = await desk.play(
            STORY.format(soon=desk.now_ns + 10**5, later=desk.now_ns + 10**9, ended=desk.now_ns - 10)
        )
        refused = event("refused", EntryKind.POST, book.legs("v1 → centre 999999"))
        assert codes(await gathered(desk.submit(refused))) == ["insufficient"]
        private = await desk.submit(event("private", salt=bytes(32), payload=b"a name"))
        [(opening,)] = desk.rows(
            "SELECT max(seq) FROM payload WHERE seq < (SELECT min(seq) FROM entry WHERE kind = 12)"
        )
        await desk.play(f"erase {private.seq}\nerase {opening}\nerase {opening}", book)
        desk.now_ns += 10**6
        await desk.play("note", book)
        await hold_a_round(desk)
        await asyncio.gather(*(desk.submit(event(f"note {at}")) for at in range(256)))
        first = await decide(desk.journal, DECISIONS, refusal("one"))
        await decide(desk.journal, DECISIONS, refusal("two", corrects=first.id))
        erased = await decide(desk.journal, DECISIONS, refusal("three"))
        entries = await desk.journal.transact(lambda tx: load_entries(tx.connection, [erased.event_id]))
        await desk.play(f"erase {entries[erased.event_id].seq}", book)
    sign(path)


async def settle_a_quarter(desk: Desk) -> None:
    """A voucher that was redeemed in the first quarter; in the second a batch was paid and one returned, with their papers."""
    desk.now_ns = (NOW_S - 100 * 86_400) * 10**9
    scheme = CATALOG.schemes["cn-sh-songjiang-sandbox"]
    order = Order(IssueRequest(sandbox_uscc(1), "CNY", "9"), scheme, "early")
    voucher = await issue(desk.journal, order, KEYS, PRIVATE.sign)
    known, till = spendable(voucher, CATALOG.series), Till(desk.journal, lambda: Issuer(ISSUER, KEY.kid, PRIVATE.sign))
    shown = Presentation("p", HOLDER_KEY, "sj01", CNY, 5 * 10**6, "job:1", "nonce", NOW_S)
    asked = [Request("sj01", "kid", f"early {at}", 2**60, f"early {at}", bytes([at]) * 32) for at in range(2)]
    hold = json.loads(await till.ask(asked[0], Hold(known, shown, "proof", 3600)))["hold"]
    await till.ask(asked[1], Capture(hold, "5", final=True))
    desk.now_ns = (NOW_S - 10 * 86_400) * 10**9
    office, other, bank = By("甲", "department"), By("乙", "department"), By("丙", "finance")
    details = {"name": "松江", "uscc": sandbox_uscc(9), "account": "1" * 9, "bank": "工行", "bank_code": "1" * 12}
    await set_payee(desk.journal, bank, "centre:sj01", details)
    await confirm_payee(desk.journal, other, "centre:sj01")
    settlements = Settlements(desk.journal, CATALOG.series)
    for last in (False, True):
        batch = (await settlements.prepare(office, scheme.id, "centre:sj01", "2026Q1")).id
        body = f"票 {batch}".encode()
        invoice = (batch, sandbox_uscc(7), 10**9)
        for kind, said in (("invoice", invoice), ("payment_proof", None)):
            await add_paper(desk.journal, office, batch, Paper(kind, "p", sha256(body).hexdigest(), body, said))
        await certify(desk.journal, RULES, office, batch)
        if last:
            await settlements.approve(other, batch)
            await settlements.pay(bank, batch, "2026-05-20", "R")
            await settlements.demand(office, batch, "3", "复核", corrections=False)
            await settlements.recover(bank, batch, "2", "R")
        else:
            await settlements.return_(office, batch, "重列")


async def hold_a_round(desk: Desk) -> None:
    """A round under 16 with an application that was paid and one that was withdrawn, before the document expired."""
    clock = Clock("2026-05-06T09:00:00+08:00")
    proceedings = Proceedings(desk.journal, load_office(Home(ROOT)), clock)
    round_ = await proceedings.call(FANG, CALL | {"opens": "2026-05-06", "closes": "2026-05-25"})
    accounts = {"previous_year_audit_or_financial_statements": {"year": 2025}}
    found = await proceedings.submit(COMPANY, application(round_, materials=materials(**accounts)))
    second = await proceedings.submit(COMPANY, application(round_, project="另一项目", costs=[]))
    await proceedings.take(COMPANY, second, "withdraw", {"reason": "暂缓"})
    for steps in ([*REVIEW, POST], [APPROVE, PAY]):
        for actor, step, inputs in steps:
            await proceedings.take(actor, found, step, inputs)
        clock.set("2026-06-01T09:00:00+08:00")


def sign(place: Place) -> None:
    """A checkpoint of the log as it stands; the signature is for others to check."""
    [(origin, size, root)] = rows(place, "SELECT origin, size, root FROM log_state")
    root = bytes(root)
    note = Checkpoint(origin, size, root).text + "\n\u2014 test.example/ledger/0 signature\n"
    held = f"x'{root.hex()}'" if isinstance(place, Path) else f"'\\x{root.hex()}'"
    rows(place, f"INSERT INTO checkpoint VALUES ({size}, {held}, 1, '{note}', 0)")
