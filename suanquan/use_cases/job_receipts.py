"""Per-job receipts that the service signs, and that a beneficiary countersigns or disputes.

A dispute keeps the job's part out of every batch until it is resolved: the receipt was right after all, or the usage was
corrected, which takes it off again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger import base64url, jws
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.transaction import Transaction
from suanquan.errors import ServiceError
from suanquan.use_cases.disputes import Dispute, load_dispute, load_disputes
from suanquan.use_cases.ingest import Issuer, Rules
from suanquan.use_cases.job_parts import Job, capture_job, capture_unknown, holders_of, record_unknown, usage_job
from suanquan.use_cases.settlement_facts import By, Wish
from suanquan.use_cases.settlements import require_reason
from subsidy.procedure import Role
from voucher import store as voucher_store
from voucher.errors import VoucherError
from voucher.settlement import store
from voucher.settlement.batch import yuan
from voucher.settlement.receipt import RECEIPT_TYPE, check_answer, digest_of

OUTCOMES = ("confirmed", "corrected")


@dataclass(frozen=True, slots=True)
class About:
    """Which job: a usage record by source and id, or a capture by its event."""

    source: str = ""
    record: str = ""
    event: str = ""

    @property
    def members(self) -> dict[str, str]:
        """As a fact keeps it."""
        return {"event": self.event} if self.event else {"source": self.source, "record": self.record}


@dataclass(frozen=True, slots=True)
class Receipts:
    """What makes receipts and takes answers to them."""

    journal: Journal
    rules: Rules
    issuer_name: str

    async def receipt(self, by: By, about: About, issuer: Issuer) -> dict[str, Any]:
        """The signed receipt of a job, with what was said to it.

        Raises:
            DomainError: `record-unknown`, `capture-unknown`, `posting-changed`, `not-your-receipt`.

        """

        async def work(tx: Transaction) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
            job = await self._job(tx, about)
            await _require_party(tx, by, job, about)
            found = receipt_of(self.issuer_name, job)
            said = await store.facts_of(tx.connection, subject_of(digest_of(found)))
            return found, [_said(fact.kind, fact.person, fact.content) for fact in said], tx.now_ns // 1_000_000_000

        found, said, now_s = await self.journal.transact(work)
        token = jws.sign({**found, "iat": now_s}, typ=RECEIPT_TYPE, kid=issuer.kid, signer=issuer.sign)
        return {"receipt": digest_of(found), **found, "answers": said, "token": token}

    async def countersign(self, by: By, about: About, receipt: str, signature: str) -> dict[str, Any]:
        """Say that a receipt is right. The one that is meant must be the one that stands.

        Raises:
            VoucherError: `receipt-changed`, `not-your-receipt`, and what `check_answer` refuses.

        """

        async def work(tx: Transaction) -> dict[str, Any]:
            job = await self._answered(tx, by, about, receipt)
            await _check_signature(tx, job, receipt, "countersign", signature)
            wish = Wish(tx, by, "countersign", subject_of(receipt), {"receipt": receipt, "signature": signature})
            if await wish.recorded() is None:
                content = {"receipt": receipt, "about": about.members, "centre": job.centre, "signature": signature}
                await wish.record(content)
            return {"receipt": receipt, "state": "countersigned"}

        return await self.journal.transact(work)

    async def dispute(self, by: By, about: About, receipt: str, reason: str, signature: str) -> Dispute:
        """Say that a receipt is wrong: what vouchers paid of the job is kept out of batches from now on.

        Raises:
            VoucherError: `receipt-changed`, `not-your-receipt`, `disputed-already`, `reason-missing`.

        """

        async def work(tx: Transaction) -> Dispute:
            job = await self._answered(tx, by, about, receipt)
            await _check_signature(tx, job, receipt, "dispute", signature)
            given = {"receipt": receipt, "reason": reason, "signature": signature}
            wish = Wish(tx, by, "dispute", "", given)
            if (earlier := await wish.recorded()) is not None:
                return await load_dispute(tx.connection, earlier.subject)
            disputes = (await load_disputes(tx.connection)).all
            for one in disputes:
                if one.resolved is None and one.about == about.members:
                    raise VoucherError(
                        "disputed-already", f"已有争议 {one.id}", f"{one.id} is open already", kind=Kind.CONFLICT
                    )
            content = {
                "receipt": receipt,
                "about": about.members,
                "centre": job.centre,
                "holder": by.person,
                "reason": require_reason(reason),
                "signature": signature,
                "parts": [list(part) for part in job.parts if part.units],
            }
            name = f"D{len(disputes) + 1:05d}"
            await wish.record(content, (), name)
            return await load_dispute(tx.connection, name)

        return await self.journal.transact(work)

    async def resolve(self, by: By, dispute: str, outcome: str, reason: str) -> Dispute:
        """End a dispute: `confirmed`, the receipt was right; `corrected`, the usage was corrected since.

        Raises:
            VoucherError: `dispute-unknown`, `dispute-resolved`, `dispute-outcome`, `dispute-not-corrected`, `same-person`.

        """

        async def work(tx: Transaction) -> Dispute:
            wish = Wish(tx, by, "resolve", dispute, {"outcome": outcome, "reason": reason})
            found = await load_dispute(tx.connection, dispute)
            if await wish.recorded() is None:
                await self._require_resolvable(tx, by, found, outcome)
                await wish.record({"outcome": outcome, "reason": require_reason(reason)})
            return await load_dispute(tx.connection, dispute)

        return await self.journal.transact(work)

    async def _require_resolvable(self, tx: Transaction, by: By, found: Dispute, outcome: str) -> None:
        if found.resolved is not None:
            raise VoucherError("dispute-resolved", "争议已了结", "the dispute is resolved", kind=Kind.CONFLICT)
        if outcome not in OUTCOMES:
            listed = ", ".join(OUTCOMES)
            raise VoucherError("dispute-outcome", f"结论应为 {listed}", f"an outcome is one of {listed}")
        if by.person == found.person:
            raise VoucherError(
                "same-person", "提出争议者不能自行了结", "who disputes does not resolve", kind=Kind.NOT_ALLOWED
            )
        if outcome == "corrected" and await self._stands(tx, found):
            raise VoucherError(
                "dispute-not-corrected",
                "用量尚未更正；请先作废或修订该记录",
                "the usage was not corrected; void or revise the record first",
                kind=Kind.CONFLICT,
            )

    async def _stands(self, tx: Transaction, found: Dispute) -> bool:
        """Whether the disputed receipt is still what would be given."""
        try:
            job = await self._job(tx, About(**found.about))
        except ServiceError:
            return False  # the record was voided
        return digest_of(receipt_of(self.issuer_name, job)) == found.receipt

    async def _job(self, tx: Transaction, about: About) -> Job:
        if about.event:
            return await capture_job(tx, about.event)
        return await usage_job(tx, self.rules, about.source, about.record)

    async def _answered(self, tx: Transaction, by: By, about: About, receipt: str) -> Job:
        job = await self._job(tx, about)
        await _require_party(tx, by, job, about, answers=True)
        if digest_of(receipt_of(self.issuer_name, job)) != receipt:
            raise VoucherError(
                "receipt-changed",
                "收据已变（用量有更正），请重新取得",
                "the receipt is another by now (the usage was corrected); get it anew",
                kind=Kind.CONFLICT,
            )
        return job


def receipt_of(issuer: str, job: Job) -> dict[str, Any]:
    """What a receipt says: everything but when it was asked for."""
    return {
        "iss": issuer,
        "centre": job.centre,
        "account": job.account,
        "job": dict(job.about),
        "price_yuan": yuan(job.price),
        "own_yuan": yuan(job.own),
        "paid": [
            {"scheme": part.scheme, "voucher": part.jti or None, "amount_yuan": yuan(part.units), "log_index": part.seq}
            for part in job.parts
        ],
    }


def subject_of(receipt: str) -> str:
    """What facts about a receipt are kept under."""
    return f"R{receipt[:32]}"


def _said(kind: str, person: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"answer": kind, "by": person, "signed": bool(content.get("signature"))}


async def _require_party(tx: Transaction, by: By, job: Job, about: About, *, answers: bool = False) -> None:
    """The office reads every receipt; a beneficiary reads his own, and he alone answers. Another's is unknown to him."""
    applicant = by.role == Role.APPLICANT.value
    if (applicant or answers) and by.person not in await holders_of(tx, job):
        if applicant:
            raise capture_unknown() if about.event else record_unknown()
        raise VoucherError(
            "not-your-receipt",
            "只有该作业的受益单位可查看和答复",
            "the receipt is for the beneficiary of the job to read and answer",
            kind=Kind.NOT_ALLOWED,
        )


async def _check_signature(tx: Transaction, job: Job, receipt: str, says: str, signature: str) -> None:
    """A signed answer comes from the key that one of the job's vouchers is bound to."""
    if not signature:
        return
    kid = check_answer(signature, receipt, says, tx.now_ns // 1_000_000_000)
    vouchers = await voucher_store.load_vouchers(tx.connection, [part.jti for part in job.parts if part.jti])
    bound = {_bound_key(stored.jwt_input) for stored in vouchers.values()}
    if kid not in bound:
        raise VoucherError(
            "pop-key",
            "不是该作业的券所绑定的密钥",
            "not the key that a voucher of the job is bound to",
            kind=Kind.PROOF,
        )


def _bound_key(signed: bytes) -> str | None:
    claims = jws.parse_object(base64url.decode(signed.decode().partition(".")[2]))
    key: str | None = claims.get("cnf", {}).get("jkt")
    return key
