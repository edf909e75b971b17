"""What anybody may check: the log and its witnesses, a receipt or a voucher by paste, policies, schemes and keys with versions."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger import log_store
from ledger import store as ledger_store
from ledger.errors import DomainError, Kind, LedgerError
from ledger.policy import Policy
from ledger.tlog_proof import TlogProof
from suanquan.decision_keys import published
from suanquan.http.auth import identify, may
from suanquan.http.routers import page_router
from suanquan.note_keys import load_verifier_keys
from suanquan.portal.frame import language_of, or_failure, reading, service_of
from suanquan.portal.office import LATE_US, render
from suanquan.portal.offline import FILE_NAME, offline_page
from suanquan.service import Service
from suanquan.use_cases.cosigners import cosigners
from suanquan.use_cases.receipts import receipt_object
from suanquan.use_cases.verify_voucher import voucher_verdict
from voucher.verify import Trust

PASTED_MAX = 64_000
HEADS_MAX = 20
"""Kept heads in which witnesses are looked for."""
RECEIPT = "c2sp.org/tlog-proof"
CODE = "SQ1:"
router = page_router()


@router.get("/log", dependencies=[may("log.read")])
async def get_log(request: Request) -> Response:
    """The head of the log as signed, and how far it was witnessed."""
    return await or_failure(request, _log(request))


async def _log(request: Request) -> Response:
    service = service_of(request)
    with reading():
        await identify(request)
        async with service.database.read() as conn:
            head = await ledger_store.load_head(conn)
            signed = await log_store.newest_head(conn)
            witnessed = await log_store.newest_head(conn, witnessed=True)
            heads = await log_store.newest_heads(conn, HEADS_MAX)
    keys = [str(key) for key in load_verifier_keys(service.home.log_keys)]
    return render(
        request, "log.html", head=head, signed=signed, witnessed=witnessed, keys=keys, late_us=LATE_US,
        witnesses=cosigners(service.log.policy, [*heads, *([witnessed] if witnessed else [])]),
    )  # fmt: skip


@router.get("/verify", dependencies=[may("log.read")])
async def get_verify(request: Request) -> Response:
    """The box to paste into."""
    return await or_failure(request, verified(request, ""))


@router.post("/verify", dependencies=[may("log.read")])
async def post_verify(request: Request) -> Response:
    """A verdict in one of three words, and what was and was not proven; nothing is kept."""
    form = await request.form(max_files=0, max_fields=4, max_part_size=PASTED_MAX)
    return await or_failure(request, verified(request, str(form.get("pasted", ""))[:PASTED_MAX]))


@router.get("/verify/offline.html", dependencies=[may("log.read")])
async def get_offline(request: Request) -> Response:
    """One file with the keys of this installation that verifies with the network off; to be kept."""
    return await or_failure(request, _offline(request))


async def _offline(request: Request) -> Response:
    with reading():
        await identify(request)
        page = offline_page(service_of(request), language_of(request))
    return Response(
        page, media_type="text/html", headers={"Content-Disposition": f'attachment; filename="{FILE_NAME}"'}
    )


async def verified(request: Request, pasted: str) -> Response:
    """The page with the verdict on what was sent; the box alone where nothing was."""
    with reading():
        await identify(request)
    asked = request.method == "POST"
    verdict = judge(service_of(request), pasted) if asked else None
    status = 422 if verdict is not None and verdict["word"] == "cannot_tell" else 200
    return render(request, "verify.html", pasted=pasted, verdict=verdict, status=status)


def judge(service: Service, pasted: str) -> dict[str, Any]:
    """What a pasted text proves: `matches`, `differs_word` or `cannot_tell`, with why and the facts that it states."""
    text = pasted.strip().replace("\r\n", "\n")
    if not text:
        return {"word": "cannot_tell", "why": "paste_something"}
    if text.startswith(RECEIPT):
        return _judged(lambda: _prove_receipt(service, (text + "\n").encode()), "receipt")
    if text.startswith(CODE) or (text.count(".") == 2 and " " not in text):
        keys = service.keys
        trust = Trust(keys.issuer, keys.all_keys(), keys.revocations(), frozenset({"Ed25519"}))
        return _judged(lambda: voucher_verdict(text, trust, service.now_us // 1_000_000), "voucher")
    return {"word": "cannot_tell", "why": "not_known_form"}


def _prove_receipt(service: Service, data: bytes) -> dict[str, Any]:
    """What a receipt proves, where every line of it is one that was looked at.

    Raises:
        LedgerError: what `receipt_object` raises, or `note-stranger` for a signature of a key that is not known here.

    """
    keys = load_verifier_keys(service.home.log_keys)
    facts = receipt_object(data, Policy.of_logs(*keys))
    witnesses = service.log.policy.witnesses.values() if service.log.policy else ()
    known = [*keys, *(one.key for one in witnesses)]
    note = TlogProof.parse(data).note
    note.verify(known)
    ids = {(key.name, key.key_id) for key in known}
    for number, line in enumerate(note.signatures, start=1):
        if (line.name, line.key_id) not in ids:
            raise LedgerError(
                "note-stranger",
                f"第 {number} 行签名（{line.name}）不是本日志或其见证方已知的密钥，无从核对；请重新下载收据",
                f"signature line {number} ({line.name}) names no known key of the log or its witnesses; download the receipt again",
                kind=Kind.PROOF if line.name == facts["log"] else Kind.NOT_FOUND,
            )
    return facts


def _judged(prove: Any, form: str) -> dict[str, Any]:
    try:
        return {"word": "matches", "form": form, "facts": prove()}
    except DomainError as error:
        word = "differs_word" if error.kind is Kind.PROOF else "cannot_tell"
        return {"word": word, "form": form, "error": error}


@router.get("/policies", dependencies=[may("scheme.read")])
async def get_policies(request: Request) -> Response:
    """Documents and schemes in use with their versions, and the keys that verify what is signed."""
    return await or_failure(request, _policies(request))


async def _policies(request: Request) -> Response:
    service = service_of(request)
    with reading():
        await identify(request)
        documents = list(service.subsidies.policies.documents.values())
        keys = [*service.keys.jwks()["keys"], *published(service.decisions.keys)]
    schemes = [series.latest for series in service.catalog.series.values()]
    return render(request, "policies.html", documents=documents, schemes=schemes, keys=keys)
