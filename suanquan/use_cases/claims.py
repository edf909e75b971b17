"""Redemption claims (兑付申请) of beneficiaries, of government from data it has, and under target agreements.

What is asked is decided by the scheme, on the facts that are given and on sums that the ledger knows; the units leave the
voucher, the agreement or the budget with the claim, so that nobody asks for them twice. A batch pays it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ledger.amount import CNY, format_units, parse_units
from ledger.errors import Finding, Kind
from ledger.journal import Journal
from ledger.orders import Act as LedgerAct
from ledger.orders import reverse
from ledger.transaction import Transaction
from suanquan.clock import shanghai_day
from suanquan.use_cases.claim_reading import batch_of_claim, claim_unknown, load_claim, load_claims
from suanquan.use_cases.claim_sources import (
    Asked,
    Source,
    from_budget,
    grant,
    malformed,
    metered_units,
    not_yours,
    read_asked,
    source_of,
)
from suanquan.use_cases.evidence import invoice_events, keep
from suanquan.use_cases.register import release_support
from suanquan.use_cases.settlement_facts import By, Wish, claimed_seq, posting
from suanquan.use_cases.settlement_moves import BENEFICIARY, OFFICE, PROVIDER, life_of, move, source_bucket
from suanquan.use_cases.settlement_reading import load_batches
from suanquan.use_cases.settlements import paying_scheme, require_reason
from subsidy.procedure import Role
from voucher import store as voucher_store
from voucher.decide import Decision, Status
from voucher.errors import VoucherError
from voucher.holder import check_uscc
from voucher.lifecycle import Action, Bucket
from voucher.scheme import Scheme, Series, policy_year
from voucher.scheme_cases import answer, decision_object
from voucher.settlement import store
from voucher.settlement.batch import require_within
from voucher.settlement.claim import Agreement, Claim, agreement_of, fold, require_live
from voucher.settlement.line import UNITS_PER_FEN

_AGREEMENT = {"scheme", "holder", "provider", "amount_yuan", "basis"}


@dataclass(frozen=True, slots=True)
class Claims:
    """What takes claims: the journal that records, and the schemes that decide."""

    journal: Journal
    series: Mapping[str, Series]

    async def submit(self, by: By, given: Mapping[str, Any]) -> Claim:
        """Claim under a scheme. `as` says whose claim it is: the beneficiary's, the provider's or the office's (免申即享).

        Raises:
            VoucherError: `claim-malformed`, `claim-refused` with every reason, `claim-by-batch`, `not-enough`,
                `scheme-draft`, `not-your-claim`, `assessed-already`, and what the life of the support forbids.

        """
        asked = read_asked(given)
        _require_side(by, asked)

        async def work(tx: Transaction) -> Claim:
            wish = Wish(tx, by, "claim", "", given)
            if (earlier := await wish.recorded()) is not None:
                return await load_claim(tx.connection, earlier.subject)
            return await self._submit(tx, wish, asked)

        return await self.journal.transact(work)

    async def _submit(self, tx: Transaction, wish: Wish, asked: Asked) -> Claim:
        now_us, today = tx.now_ns // 1000, shanghai_day(tx.now_ns)
        scheme = paying_scheme(self.series, asked.scheme, now_us)
        bucket = source_bucket(scheme.claim_mode)
        if bucket is Bucket.REDEEMED:
            raise VoucherError(
                "claim-by-batch",
                "此兑现方式由算力中心按期结算，不单独申请",
                "under this claim mode centres settle by batches; there is nothing to claim alone",
            )
        earlier = await load_claims(tx.connection, scheme.id)
        own = [one for one in earlier if one.is_live and one.holder == asked.holder]
        decision = await self._decide(tx, scheme, asked, own, today)
        source = await source_of(tx, scheme, asked)
        units = _units(decision, asked, source if bucket is Bucket.AVAILABLE else None)
        claim = f"C{today.year}-{len(await store.facts_named(tx.connection, 'claim')) + 1:05d}"
        funding, caps = await from_budget(tx, scheme, asked.holder, units) if bucket is Bucket.BUDGET else ([], ())
        life = await life_of(tx, source.ways, scheme.claim_mode, source.units, phase=source.phase, side=source.side)
        action = Action.ASSESS if scheme.claim_mode == "auto_enjoy" else Action.CLAIM
        legs = await move(tx, source.ways, life, action, units, asked.side)
        entry = posting(tx, claim, "claim", (*legs, *caps))
        for paper in asked.papers:
            await keep(tx, paper)
        content = {
            "scheme": scheme.id,
            "mode": scheme.claim_mode,
            "payee": source.ways.payee,
            "holder": asked.holder,
            "actor": asked.side,
            "jti": asked.voucher,
            "agreement": asked.agreement,
            "period": asked.period.name if asked.period else "",
            "year": policy_year(now_us),
            "units": units,
            "claimed": entry.event_id.hex(),
            "decision": decision_object(decision),
            "evidence": [paper.content for paper in asked.papers],
        }
        events = [*funding, entry, *await invoice_events(tx, claim, list(asked.papers))]
        return fold([await wish.record(content, events, claim)])

    async def _decide(self, tx: Transaction, scheme: Scheme, asked: Asked, own: Sequence[Claim], on: date) -> Decision:
        """The scheme's answer on the facts given, with the sums that the ledger knows in place of what was stated."""
        facts = dict(asked.facts)
        if asked.period is not None:
            _require_not_assessed(asked, own)
            spent = await metered_units(tx, asked.holder, asked.period)
            facts["cost_items"] = [{"kind": "compute", "amount_yuan": format_units(spent, CNY)}]
        for name, known in (await _sums(tx, scheme, asked.holder, own, on)).items():
            stated = facts.get(name)
            facts[name] = {**(stated if isinstance(stated, Mapping) else {}), **known}
        decision, findings = answer(self.series[scheme.id], facts, on, lambda path: f"/facts/{path}")
        if decision is None:
            raise _refused("事实有误", "some facts cannot be taken", findings)
        if decision.status is not Status.ELIGIBLE:
            reasons = [Finding(one.id, one.zh, one.en, f"/facts/{one.id}") for one in decision.failed]
            reasons += [
                Finding("fact-missing", f"缺 {name}", f"{name} is needed", f"/facts/{name}")
                for name in decision.missing
            ]
            raise _refused("不符合方案，或缺事实", "the scheme does not give it, or facts are missing", reasons)
        return decision

    async def end(self, by: By, claim: str, kind: str, reason: str) -> Claim:
        """Withdraw (`withdraw`, by who claimed), give back for correction (`give_back`) or refuse (`refuse`) a claim.

        Its units go back whence they came.

        Raises:
            VoucherError: `claim-unknown` (also of another's), `claim-state`, `claim-in-batch`, `reason-missing`.

        """

        async def work(tx: Transaction) -> Claim:
            wish = Wish(tx, by, kind, claim, {"reason": reason})
            found = await load_claim(tx.connection, claim)
            if await wish.recorded() is None:
                if kind == "withdraw" and by.person not in {found.by, found.holder}:
                    raise claim_unknown(claim)
                await _end(tx, wish, found, require_reason(reason))
            return await load_claim(tx.connection, claim)

        return await self.journal.transact(work)

    async def agree(self, by: By, given: Mapping[str, Any]) -> Agreement:
        """Sign a target agreement (目标责任书): one side of two is entitled to an amount once its target is reached.

        Raises:
            VoucherError: `claim-malformed`, `scheme-draft`, `not-a-target-scheme`, `budget-unset`.

        """
        for name in given.keys() - _AGREEMENT:
            raise malformed(name[:60], "没有这一项", "is not known here")
        if given.keys() != _AGREEMENT or not all(isinstance(value, str) for value in given.values()):
            names = sorted(_AGREEMENT)
            raise malformed("", f"须有 {'、'.join(names)}", f"has {', '.join(names)}, all texts")
        units = parse_units(given["amount_yuan"], CNY)
        require_within(units, units, "金额", "the amount")
        check_uscc(given["holder"])

        async def work(tx: Transaction) -> Agreement:
            wish = Wish(tx, by, "agree", "", given)
            if (earlier := await wish.recorded()) is not None:
                return agreement_of(earlier)
            scheme = paying_scheme(self.series, given["scheme"], tx.now_ns // 1000)
            if scheme.target is None:
                raise VoucherError("not-a-target-scheme", "方案没有目标责任", "the scheme has no target")
            made = len(await store.facts_named(tx.connection, "agree"))
            name = f"T{shanghai_day(tx.now_ns).year}-{made + 1:04d}"
            content = {one: given[one] for one in ("scheme", "holder", "provider")}
            content |= {"units": units, "basis": require_reason(given["basis"])}
            events = await grant(tx, scheme, given["holder"], name, units)
            return agreement_of(await wish.record(content, events, name))

        return await self.journal.transact(work)


async def _sums(
    tx: Transaction, scheme: Scheme, holder: str, own: Sequence[Claim], on: date
) -> dict[str, dict[str, str]]:
    """What a holder has claimed and redeemed under a scheme, this year and altogether, in yuan."""
    total = sum(one.units for one in own)
    year = sum(one.units for one in own if one.year == on.year)
    issued = await voucher_store.issued_in_year(tx.connection, scheme.id, CNY.number, on.year, holder)
    claimed = 0 if issued else year  # of vouchers the cap of what is claimed was kept when they were issued
    return {
        "year_to_date": {"claimed_yuan": format_units(claimed, CNY), "redeemed_yuan": format_units(year, CNY)},
        "to_date": {
            "claimed_yuan": format_units(0 if issued else total, CNY),
            "redeemed_yuan": format_units(total, CNY),
        },
    }


async def _end(tx: Transaction, wish: Wish, found: Claim, reason: str) -> None:
    require_live(found)
    live = {batch.id for batch in await load_batches(tx.connection, found.scheme, found.payee) if batch.is_live}
    if (batch := await batch_of_claim(tx.connection, found, live)) is not None:
        raise VoucherError(
            "claim-in-batch", f"申请已列入批次 {batch}", f"the claim is in the batch {batch}", kind=Kind.CONFLICT
        )
    made = posting(tx, found.id, wish.kind, ())
    act = LedgerAct(made.event_id, made.digest, made.salt, f"{wish.kind} {found.id}: {reason}")
    events = [reverse(act, await claimed_seq(tx, found.claimed)), *await release_support(tx, found.id)]
    await wish.record({"reason": reason}, events)


def _units(decision: Decision, asked: Asked, source: Source | None) -> int:
    """Units that are claimed: what the scheme gives, no more than was asked, nor than a voucher or agreement has."""
    limits = [] if decision.amount_fen is None else [decision.amount_fen * UNITS_PER_FEN]
    limits += [] if asked.units is None else [asked.units]
    limits += [] if source is None else [source.units]
    units = min(limits) // UNITS_PER_FEN * UNITS_PER_FEN if limits else 0
    if units <= 0:
        zh, en = "可兑付金额为零", "nothing can be redeemed"
        raise _refused(zh, en, [Finding("amount-zero", zh, en, "/amount_yuan")])
    return units


def _require_side(by: By, asked: Asked) -> None:
    """A beneficiary claims for itself; the office may write down what a party hands in, and alone assesses."""
    applicant = by.role == Role.APPLICANT.value
    if applicant and (asked.side != BENEFICIARY or by.person != asked.holder):
        raise not_yours()
    if asked.side == OFFICE and asked.period is None:
        raise malformed("period", "由政府核定的申请须写明期间", "what the office assesses names its period")
    if asked.side in {BENEFICIARY, PROVIDER} and asked.period is not None:
        raise malformed("period", "只有政府核定才写期间", "a period is for what the office assesses")


def _require_not_assessed(asked: Asked, own: Sequence[Claim]) -> None:
    assert asked.period is not None
    for one in own:
        if one.period == asked.period.name:
            raise VoucherError(
                "assessed-already",
                f"{one.period} 已核定为 {one.id}",
                f"{one.period} was assessed as {one.id}",
                kind=Kind.CONFLICT,
            )


def _refused(zh: str, en: str, findings: Sequence[Finding]) -> VoucherError:
    said = f"：{findings[0].zh}" if findings else ""
    return VoucherError(
        "claim-refused", f"不予兑付，{zh}{said}", f"the claim is refused: {en}", findings=list(findings)
    )
