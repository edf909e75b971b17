"""A quarter of usage settled on both surfaces: receipts, a dispute, a batch with its certificate, bank files, payment, corrections."""

import base64
import csv
import hashlib
import io
import json
import xml.dom.minidom
import zipfile
from urllib.parse import urlencode

import pytest

from ledger import jws
from ledger.ed25519 import PublicKey
from suanquan.db.tokens import create_token
from suanquan.home import Home
from suanquan.settings import Settings
from suanquan.use_cases import setup
from tests.suanquan.bureau import Bureau, MovedService
from tests.suanquan.harness import KEYS, PASSPHRASE, SCHEME, Agent, give, usage
from tests.suanquan.spender import HOLDER, HOLDER_KEY
from tests.suanquan.test_round import assert_problem
from tests.subsidy.procedure_samples import APPLICANT, Clock
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest
from voucher.settlement.receipt import answer

OFFICERS = (("方", "department"), ("林", "department"), ("何", "finance"), ("许", "finance"), (APPLICANT, "applicant"))
OTHER = "91310000MA1K35QN0G"
SOURCE = "urn:centre:sj01:agent:test"


@pytest.fixture
def office(tmp_path):
    """Ten jobs of 12 yuan in the third quarter, which a voucher of 500 paid; it is October."""
    clock, home = Clock("2025-09-10T09:00:00+08:00"), Home(tmp_path / "home")
    administrator = setup.initialise(home, Settings(sandbox=True), PASSPHRASE, clock)
    with MovedService(home, clock) as service:
        bureau = Bureau(home, clock, service, tmp_path)
        bureau.tokens["administrator"] = administrator
        for person, role in (*OFFICERS, (OTHER, "applicant")):
            bureau.tokens[person] = bureau.ok("officer", "add", person, "--role", role)["token"]
        service.call(_prepare(service.service))
        records = [usage(number, account="lab") for number in range(10)]
        sent = Agent(service.url).report_records(records, created_s=service.service.now_us // 10**6)
        assert sent.content["accepted"] == 10, sent
        clock.set("2025-10-09T09:00:00+08:00")
        yield bureau
        service.figures()  # the books agree with the log


async def _prepare(service):
    await setup.register_centre(service.journal, service.catalog, "sj01", "SJ01", {"A100": 1000})
    await setup.register_agent_key(service.journal, "sj01", PublicKey.of(KEYS["sj01"]))
    await give(service, APPLICANT, "1", accounts=["lab"])  # the account is his
    await service.issue(SCHEME, IssueRequest(APPLICANT, "CNY", "500", dict(HOLDER_KEY.jwk())))


def post(office, path, person, body=None, **headers):
    return office.http("POST", f"/v1/{path}", person, body or {}, **headers)


def get(office, path, person):
    return office.http("GET", f"/v1/{path}", person)


def receipt_of(office, number, person=APPLICANT):
    query = urlencode({"source": SOURCE, "record": f"sj01:{number:09d}"})
    return get(office, f"receipts?{query}", person)


def about(number, receipt, **more):
    return {"source": SOURCE, "record": f"sj01:{number:09d}", "receipt": receipt["receipt"]} | more


def pay_accounts(office):
    details = {"name": "松江", "uscc": sandbox_uscc(9), "account": "62220202001", "bank": "工行", "bank_code": "1" * 12}
    for payee in ("payer", "centre:sj01"):
        assert post(office, f"payees/{payee}", "何", details).status == 200
        assert post(office, f"payees/{payee}/confirm", "许").content["details"]["account"] == "62220202001"


def complete(office, batch):
    content = base64.b64encode(b"%PDF invoice").decode()
    invoice = {"number": "26312000", "issuer": sandbox_uscc(7), "amount_yuan": "120"}
    paper = {"kind": "invoice", "name": "发票.pdf", "content": content, "invoice": invoice}
    assert post(office, f"settlements/{batch}/evidence", "方", paper).status == 200
    office.ok("settlement", "certify", batch, "--as", "方")
    proof = {"kind": "payment_proof", "name": "回单.pdf", "sha256": "0" * 64}
    return post(office, f"settlements/{batch}/evidence", "方", proof).content


def test_a_quarter_is_settled_and_what_is_corrected_later_follows(office):
    """Nine jobs of ten: one is disputed. The certificate names each job; the file for the bank says 108.00; then 24 more are due."""
    first = receipt_of(office, 0).content
    key = office.service.service.keys.verifying_keys()
    claims = jws.verify(first["token"], key, "job-receipt+jwt")
    assert (claims["price_yuan"], claims["job"]["gpu_ms"]) == ("12.00", 3_600_000)
    assert sum(float(part["amount_yuan"]) for part in first["paid"]) == 12
    signed = answer(HOLDER_KEY, HOLDER.sign, first["receipt"], "countersign", office.service.service.now_us // 10**6)
    bound = receipt_of(office, 3).content
    assert_problem(
        post(office, "receipts/countersign", APPLICANT, about(3, bound, signature=signed)), 422, "voucher-claims"
    )
    signed = answer(HOLDER_KEY, HOLDER.sign, bound["receipt"], "countersign", office.service.service.now_us // 10**6)
    assert post(office, "receipts/countersign", APPLICANT, about(3, bound, signature=signed)).status == 200
    assert receipt_of(office, 3).content["answers"] == [{"answer": "countersign", "by": APPLICANT, "signed": True}]
    ninth = receipt_of(office, 9).content
    dispute = post(office, "receipts/dispute", APPLICANT, about(9, ninth, reason="未提交此作业")).content
    assert (dispute["state"], dispute["kept_back_yuan"]) == ("open", "12.00")

    wanted = {"scheme": SCHEME, "payee": "centre:sj01", "period": "2025Q3"}
    made = post(office, "settlements", "方", wanted, Idempotency_Key="q3")
    assert (made.status, made.content["amount_yuan"]) == (201, "108.00")
    batch = made.content["id"]
    assert post(office, "settlements", "方", wanted, Idempotency_Key="q3").content == made.content
    pay_accounts(office)
    assert complete(office, batch)["evidence"][0]["invoice"]["number"] == "26312000"
    assert_problem(post(office, f"settlements/{batch}/approve", "方"), 403, "same-person")
    assert office.ok("settlement", "approve", batch, "--as", "林")["state"] == "approved"

    lines = get(office, f"settlements/{batch}/lines", "administrator").content
    assert sum(float(line["amount_yuan"]) for line in lines) == 108
    archive = get(office, f"settlements/{batch}/bundle", "administrator")
    check_bundle(office, archive.content, batch)
    check_bank_files(office, batch)
    payment = {"paid_on": "2025-10-10", "reference": "R-1"}
    assert post(office, f"settlements/{batch}/payment", "何", payment).content["state"] == "paid"

    resolved = {"outcome": "confirmed", "reason": "日志相符"}
    assert post(office, f"disputes/{dispute['id']}/resolve", "林", resolved).content["kept_back_yuan"] == "0.00"
    sent = Agent(office.service.url).report_records(
        [usage(10, account="lab"), usage(11, account="lab")], created_s=office.service.service.now_us // 10**6
    )
    assert sent.content["accepted"] == 2, sent
    office.ok(
        "usage",
        "void",
        "sj01:000000000",
        "--source",
        SOURCE,
        "--officer",
        "方",
        "--approved-by",
        "林",
        "--reason",
        "重复计费",
    )
    office.clock.set("2026-01-05T09:00:00+08:00")
    following = office.ok(
        "settlement", "prepare", "--scheme", SCHEME, "--payee", "centre:sj01", "--period", "2025Q4", "--as", "方"
    )
    assert following["amount_yuan"] == "24.00", "12 in dispute before, 24 late, 12 voided"
    shown = office.ok("settlement", "show", following["id"])["lines"]
    assert {line["kind"] for line in shown} == {"released", "redeemed", "corrected"}


def check_bundle(office, data, batch):
    """Hashes and signature hold; the certificate has a row per job and the sum of the batch."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    listed = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert listed == {name: hashlib.sha256(files[name]).hexdigest() for name in listed}
    assert listed.keys() == files.keys() - {"SHA256SUMS", "SHA256SUMS.sig", "SHA256SUMS.kid"}
    key = office.service.service.keys.verifying_keys()[files["SHA256SUMS.kid"].decode().strip()]
    assert key.verify(base64.b64decode(files["SHA256SUMS.sig"]), files["SHA256SUMS"])
    [certificate] = [body for name, body in files.items() if "delivery_certificate" in name]
    *rows, total = list(csv.DictReader(io.StringIO(certificate.decode("utf-8-sig"))))
    assert {row["job"] for row in rows} == {str(number) for number in range(10)}
    assert total["voucher_yuan"] == "120.00"
    assert json.loads(files["batch.json"])["id"] == batch


def check_bank_files(office, batch):
    query = urlencode({"batch": batch, "execute_on": "2025-10-10"})
    table = get(office, f"settlements/bank-file?{query}", "administrator").content.decode("utf-8-sig")
    first, last = list(csv.reader(io.StringIO(table)))[1:]
    assert (first[0], first[7], last[:2], last[7]) == (batch, "108.00", ["TOTAL", "1"], "108.00")
    assert "DO NOT PAY" in first[-1], "it is a sandbox"
    document = get(office, f"settlements/bank-file?{query}&form=pain.001", "administrator").content
    tree = xml.dom.minidom.parseString(document)
    sums = [node.firstChild.data for node in tree.getElementsByTagName("CtrlSum")]
    assert sums == ["108.00", "108.00"]
    assert tree.getElementsByTagName("EndToEndId")[0].firstChild.data == batch
    assert_problem(get(office, f"settlements/bank-file?{query}&form=xls", "administrator"), 422, "bank-file-form")


def test_a_payee_sees_its_own_batches_alone(office):
    """The centre that is paid reads its batch, lines and evidence; for another, and for a company, they do not exist."""
    wanted = {"scheme": SCHEME, "payee": "centre:sj01", "period": "2025Q3"}
    batch = post(office, "settlements", "方", wanted).content["id"]
    service = office.service.service

    async def staff():
        async with service.database.write() as conn:
            for centre in ("sj01", "sj02"):
                made = await create_token(conn, "centre_operator", f"{centre}/甲", service.now_us, tenant=centre)
                office.tokens[centre] = made

    office.service.call(staff())
    assert [one["id"] for one in get(office, "settlements", "sj01").content] == [batch]
    for person in ("sj02", APPLICANT):
        assert get(office, "settlements", person).content == []
    for path in (f"settlements/{batch}", f"settlements/{batch}/lines", f"settlements/{batch}/bundle"):
        assert get(office, path, "sj01").status == 200, path
        for person in ("sj02", APPLICANT):
            foreign, missing = (get(office, one, person) for one in (path, path.replace(batch, "B2025Q3-0099")))
            assert_problem(foreign, 404, "batch-unknown")
            said = [
                json.dumps(one.content).replace(name, "*").replace(one.headers["x-request-id"], "")
                for one, name in ((foreign, batch), (missing, "B2025Q3-0099"))
            ]
            assert said[0] == said[1]
    assert_problem(
        get(office, f"settlements/bank-file?batch={batch}&execute_on=2025-10-10", "sj01"), 403, "not-permitted"
    )
    assert_problem(post(office, f"settlements/{batch}/approve", "sj01"), 403, "not-permitted")


def test_bad_input_is_told_what_and_where(office):
    """A claim, a paper, a payee, an answer and a stranger: each gets a code and the member at fault; nothing is written."""
    size = office.ok("ledger", "head")["size"]
    faults = [
        (post(office, "claims", APPLICANT, {"scheme": SCHEME, "holder": APPLICANT, "extra": 1}), 422, "claim-malformed"),
        (post(office, "claims", APPLICANT, {"scheme": SCHEME, "holder": "x"}), 422, "uscc-malformed"),
        (post(office, "claims", APPLICANT, {"scheme": SCHEME, "holder": APPLICANT}), 422, "claim-by-batch"),
        (post(office, "claims", APPLICANT, {"scheme": "none", "holder": APPLICANT}), 404, "scheme-unknown"),
        (post(office, "settlements", APPLICANT, {"scheme": SCHEME, "payee": "centre:sj01", "period": "2025Q3"}), 403, "not-permitted"),
        (post(office, "settlements", "方", {"scheme": SCHEME, "payee": "sj01", "period": "2025Q3"}), 404, "payee-unknown"),
        (post(office, "settlements", "方", {"scheme": SCHEME}), 422, "request-malformed"),
        (post(office, "settlements/B1/approve", "林"), 404, "batch-unknown"),
        (post(office, "payees/centre:sj01", "何", {"name": "松江"}), 422, "payee-malformed"),
        (post(office, "settlements/B1/evidence", "方", {"kind": "invoice", "name": "i", "sha256": "0"}), 422, "evidence-malformed"),
        (post(office, "receipts/dispute", APPLICANT, {"receipt": "0", "reason": "x"}), 422, "request-malformed"),
        (receipt_of(office, 99), 404, "record-unknown"),
        (receipt_of(office, 0, OTHER), 404, "record-unknown"),
        (get(office, "payees", APPLICANT), 403, "not-permitted"),
        (get(office, "claims", None), 401, "token-required"),
    ]  # fmt: skip
    for found, status, code in faults:
        assert_problem(found, status, code)
    assert office.ok("ledger", "head")["size"] == size


def test_a_draft_is_refused_on_both_surfaces(office):
    """Songjiang's own scheme is a draft: it simulates, and never pays."""
    draft = "cn-sh-songjiang-2024"
    wanted = {"scheme": draft, "payee": "centre:sj01", "period": "2025Q3"}
    assert_problem(post(office, "settlements", "方", wanted), 403, "scheme-draft")
    assert_problem(post(office, "claims", APPLICANT, {"scheme": draft, "holder": APPLICANT}), 403, "scheme-draft")
    done = office.run(
        "settlement", "prepare", "--scheme", draft, "--payee", "centre:sj01", "--period", "2025Q3", "--as", "方"
    )
    assert (done.status, "scheme-draft" in done.err) == (5, True)
