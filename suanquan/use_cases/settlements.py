"""Settlement batches: prepared from the ledger, approved by somebody else, paid, and taken back where that must be.

Each act is one fact with its entry. The scheme must be one that pays: under a draft nothing is claimed, approved or paid.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ledger.amount import CNY, parse_units
from ledger.entry import Event, Leg
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.orders import Act as LedgerAct
from ledger.orders import reverse
from ledger.transaction import Transaction
from suanquan.use_cases.catalogue import find_scheme
from suanquan.use_cases.claim_reading import due_claims
from suanquan.use_cases.disputes import Disputes, load_disputes
from suanquan.use_cases.postings import receivable
from suanquan.use_cases.register import release_support
from suanquan.use_cases.settlement_facts import By, Wish, claimed_seq, posting
from suanquan.use_cases.settlement_lines import Due, due_lines
from suanquan.use_cases.settlement_moves import FINANCE, OFFICE, PROVIDER, life_of, move, source_bucket
from suanquan.use_cases.settlement_reading import load_batch, load_batches, load_payee
from voucher.errors import VoucherError
from voucher.lifecycle import STEPS, Action, Bucket
from voucher.scheme import Scheme, SchemeStatus, Series
from voucher.settlement import store
from voucher.settlement.accounts import Ways, centre_of
from voucher.settlement.batch import (
    GENERATED,
    Batch,
    State,
    fold,
    require_other,
    require_papers,
    require_state,
    require_within,
)
from voucher.settlement.cycle import Period, read_period
from voucher.settlement.line import Line, add_up, digest_of
from voucher.settlement.payee import require_payable

REASON_MAX = 500
FULL_INVOICE = "provider_invoices_full_amount"


@dataclass(frozen=True, slots=True)
class Settlements:
    """What settles: the journal that records, and the schemes that say by which rules."""

    journal: Journal
    series: Mapping[str, Series]

    async def prepare(self, by: By, scheme: str, payee: str, period: str) -> Batch:
        """Draw up what a scheme owes a payee until the end of a period, and claim it.

        Raises:
            VoucherError: `scheme-draft`, `period-…`, `batch-open`, `nothing-to-settle`, `payee-unknown`.

        """
        given = {"scheme": scheme, "payee": payee, "period": period}

        async def work(tx: Transaction) -> Batch:
            wish = Wish(tx, by, "prepare", "", given)
            if (earlier := await wish.recorded()) is not None:
                return await load_batch(tx.connection, earlier.subject)
            await load_payee(tx.connection, payee)
            span = _span(self.series, scheme, period, tx.now_ns // 1000)
            return await _prepare(tx, wish, paying_scheme(self.series, scheme, span.until_us - 1), payee, span)

        return await self.journal.transact(work)

    async def approve(self, by: By, batch: str) -> Batch:
        """Close a batch: what it claims becomes payable. Somebody else than who prepared it does.

        Raises:
            VoucherError: `same-person`, `evidence-missing`, `invoice-short`, `batch-disputed`, `payee-…`, `batch-state`.

        """

        async def act(tx: Transaction, wish: Wish, found: Batch) -> None:
            require_state(found, State.PREPARED)
            require_other(by.person, found.prepared_by)
            scheme = paying_scheme(self.series, found.scheme, tx.now_ns // 1000)
            full = scheme.settlement is not None and scheme.settlement.invoice_rule == FULL_INVOICE
            require_papers(found, full=full)
            _require_undisputed(found, await load_disputes(tx.connection), await store.lines_of(tx.connection, batch))
            details = require_payable(await load_payee(tx.connection, found.payee))
            legs = await _step(tx, found, Action.APPROVE, found.units, OFFICE)
            await wish.record({"details": details.revision}, [posting(tx, batch, "approve", legs)])

        return await self._act(by, "approve", batch, {}, act)

    async def return_(self, by: By, batch: str, reason: str) -> Batch:
        """Give a batch back before it is closed; its lines are free for another one."""

        async def act(tx: Transaction, wish: Wish, found: Batch) -> None:
            require_state(found, State.PREPARED)
            back = [*await _unclaim(tx, found, reason), *await release_support(tx, batch)]
            await wish.record({"reason": require_reason(reason)}, back)

        return await self._act(by, "return", batch, {"reason": reason}, act)

    async def pay(self, by: By, batch: str, paid_on: str, reference: str) -> Batch:
        """Record that the treasury paid a batch, with the bank's reference. Who prepared it does not.

        Raises:
            VoucherError: `same-person`, `payee-…`, `batch-state`, `day-malformed`, `reason-missing`.

        """

        async def act(tx: Transaction, wish: Wish, found: Batch) -> None:
            require_state(found, State.APPROVED)
            require_other(by.person, found.prepared_by)
            paying_scheme(self.series, found.scheme, tx.now_ns // 1000)
            details = require_payable(await load_payee(tx.connection, found.payee))
            legs = await _step(tx, found, Action.PAY, found.units, FINANCE)
            content = {
                "paid_on": read_day(paid_on).isoformat(),
                "reference": require_reason(reference),
                "details": details.revision,
            }
            await wish.record(content, [posting(tx, batch, "pay", legs)])

        return await self._act(by, "pay", batch, {"paid_on": paid_on, "reference": reference}, act)

    async def demand(self, by: By, batch: str, amount: str, reason: str, *, corrections: bool) -> Batch:
        """Demand back what was paid: of what corrections took off (`corrections`), or what should not have been paid (追回).

        Raises:
            VoucherError: `batch-state`, `demand-open`, `not-enough`, `corrections-not-provider`.

        """

        async def act(tx: Transaction, wish: Wish, found: Batch) -> None:
            require_state(found, State.PAID)
            if found.demand is not None:
                raise VoucherError("demand-open", "已有未了的追回", "a demand is open already", kind=Kind.CONFLICT)
            if corrections and centre_of(found.payee) is None:
                zh, en = "只有算力中心的用量会被更正", "only usage at a centre is corrected"
                raise VoucherError("corrections-not-provider", zh, en)
            units = parse_units(amount, CNY)
            require_within(units, found.kept, "已付而未退的款项", "what was paid and not given back")
            if corrections:
                owed = max(-await unsettled(tx, found.scheme, found.payee), 0)
                require_within(units, owed, "更正后应退的款项", "what corrections took off")
            await wish.record({"units": units, "reason": require_reason(reason), "corrections": corrections})

        given = {"amount": amount, "reason": reason, "corrections": corrections}
        return await self._act(by, "demand", batch, given, act)

    async def recover(self, by: By, batch: str, amount: str, reference: str) -> Batch:
        """Record what came back on a demand, which somebody else made.

        Raises:
            VoucherError: `no-demand`, `same-person`, `not-enough`, and what the life of the support forbids.

        """

        async def act(tx: Transaction, wish: Wish, found: Batch) -> None:
            if found.demand is None:
                raise VoucherError("no-demand", "没有待收回的款项", "nothing was demanded", kind=Kind.CONFLICT)
            require_other(by.person, found.demand.person)
            units = parse_units(amount, CNY)
            require_within(units, found.demand.units, "待收回的款项", "what is demanded")
            action = Action.REFUND if found.demand.corrections else Action.CLAW_BACK
            net = await unsettled(tx, found.scheme, found.payee)
            legs = await _step(tx, found, action, units, FINANCE, net)
            content = {"units": units, "reference": require_reason(reference)}
            await wish.record(content, [posting(tx, batch, "recover", legs)])

        return await self._act(by, "recover", batch, {"amount": amount, "reference": reference}, act)

    async def _act(
        self, by: By, kind: str, batch: str, given: Mapping[str, Any],
        act: Callable[[Transaction, Wish, Batch], Awaitable[None]],
    ) -> Batch:  # fmt: skip
        async def work(tx: Transaction) -> Batch:
            wish = Wish(tx, by, kind, batch, given)
            found = await load_batch(tx.connection, batch)
            if await wish.recorded() is None:
                await act(tx, wish, found)
            return fold(await store.facts_of(tx.connection, batch))

        return await self.journal.transact(work)


def paying_scheme(series: Mapping[str, Series], name: str, at_us: int) -> Scheme:
    """The version of a scheme in force at an instant, or its last one; it must be one that pays.

    Raises:
        VoucherError: `scheme-draft`, or `scheme-unpaid` where its claim mode pays nothing (无偿).
        DomainError: `scheme-unknown`.

    """
    found = find_scheme(series, name)
    scheme = found.at(at_us) or found.latest
    if scheme.status is SchemeStatus.DRAFT:
        raise VoucherError(
            "scheme-draft",
            f"方案 {name} 是草案，只能计量与测算，不得申领、结算或支付",
            f"the scheme {name} is a draft: it meters and simulates, and never pays",
            kind=Kind.NOT_ALLOWED,
        )
    if Action.PAY not in STEPS.get(scheme.claim_mode, {}):
        raise VoucherError(
            "scheme-unpaid",
            f"方案 {name} 的兑现方式 {scheme.claim_mode} 不付款",
            f"the claim mode {scheme.claim_mode} of {name} pays nothing",
            kind=Kind.NOT_ALLOWED,
        )
    return scheme


def _span(series: Mapping[str, Series], name: str, period: str, now_us: int) -> Period:
    found = find_scheme(series, name)
    scheme = found.at(now_us) or found.latest
    span = read_period(period, scheme.settlement.cycle if scheme.settlement else None)
    if span.until_us > now_us:
        raise VoucherError(
            "period-not-over",
            f"结算期间 {period} 尚未结束",
            f"the period {period} is not over",
            kind=Kind.CONFLICT,
        )
    return span


async def _prepare(tx: Transaction, wish: Wish, scheme: Scheme, payee: str, span: Period) -> Batch:
    conn = tx.connection
    earlier = [batch for batch in await load_batches(conn, scheme.id, payee) if batch.is_live]
    if earlier and earlier[-1].state is State.PREPARED:
        if (await store.facts_of(conn, earlier[-1].id))[0].request == wish.digest:
            return earlier[-1]
        raise VoucherError(
            "batch-open",
            f"批次 {earlier[-1].id} 尚未批准或退回",
            f"the batch {earlier[-1].id} was neither approved nor returned",
            kind=Kind.CONFLICT,
        )
    due = await _due(tx, scheme, payee, span, earlier)
    total = add_up(due.lines, earlier[-1].carried if earlier else 0)
    if total.pay <= 0:
        owed = "；其更正多于新增，应先追回" if total.pay < 0 else ""
        raise VoucherError(
            "nothing-to-settle",
            f"{span.name} 止没有可结算的金额{owed}",
            f"nothing is due until the end of {span.name}: its lines come to {total.net} units",
            kind=Kind.CONFLICT,
        )
    batch = f"B{span.name}-{len(await store.facts_named(conn, 'prepare')) + 1:04d}"
    events = await _claim(tx, scheme, payee, batch, total.pay, total.net)
    content = {
        "scheme": scheme.id,
        "payee": payee,
        "period": span.name,
        "mode": scheme.claim_mode,
        "version": f"{scheme.version} {scheme.digest}",
        "upto": due.upto,
        "units": total.pay,
        "net": total.net,
        "carried_in": total.carried_in,
        "carried": total.carried_out,
        "invoiced": due.invoiced,
        "lines": len(due.lines),
        "lines_sha256": digest_of(due.lines),
        "claimed": events[0].event_id.hex() if events else None,
        "required": papers_of(scheme),
    }
    await store.add_lines(conn, batch, due.lines)
    fact = await wish.record(content, events, batch)
    return fold([fact])


def papers_of(scheme: Scheme) -> list[str]:
    """Papers that a scheme asks for before it pays; a provider's delivery certificate is always made."""
    asked = (scheme.procedure.evidence or {}).get("settle", ())
    own = (GENERATED,) if source_bucket(scheme.claim_mode) is Bucket.REDEEMED else ()
    return list(dict.fromkeys([*asked, *own]))


async def _due(tx: Transaction, scheme: Scheme, payee: str, span: Period, earlier: list[Batch]) -> Due:
    """What a payee is due: a centre from what vouchers paid it, everybody from claims that nobody has settled."""
    centre = centre_of(payee)
    after = max((batch.upto for batch in earlier), default=-1)
    if source_bucket(scheme.claim_mode) is not Bucket.REDEEMED:
        live = {batch.id for batch in earlier}
        return Due(await due_claims(tx.connection, scheme.id, payee, span.until_us, live), after, 0)
    if centre is None:
        raise VoucherError(
            "payee-not-provider",
            "此兑现方式由算力中心结算",
            "under this claim mode centres are paid",
        )
    disputes = await load_disputes(tx.connection)
    due = await due_lines(tx.connection, centre, scheme.id, after, span.until_us, disputes.kept_back(scheme.id))
    free = await _not_in(tx, disputes.released(scheme.id, centre, earlier), earlier)
    return due._replace(lines=sorted([*due.lines, *free]), invoiced=due.invoiced + sum(line.units for line in free))


async def _claim(tx: Transaction, scheme: Scheme, payee: str, batch: str, units: int, net: int) -> list[Event]:
    """A provider claims with its batch; beneficiaries have claimed before, so that nothing moves."""
    if source_bucket(scheme.claim_mode) is not Bucket.REDEEMED:
        return []
    ways = _ways(scheme.id, scheme.claim_mode, payee)
    life = await life_of(tx, ways, scheme.claim_mode, max(net, units))
    return [posting(tx, batch, "claim", await move(tx, ways, life, Action.CLAIM, units, PROVIDER))]


async def _unclaim(tx: Transaction, found: Batch, reason: str) -> list[Event]:
    if found.claimed is None:
        return []
    ways = _ways(found.scheme, found.mode, found.payee)
    life = await life_of(tx, ways, found.mode, 0)
    legs = await move(tx, ways, life, Action.RETURN, found.units, OFFICE)
    made = posting(tx, found.id, "return", legs)
    act = LedgerAct(made.event_id, made.digest, made.salt, f"return {found.id}: {reason}")
    return [reverse(act, await claimed_seq(tx, found.claimed), legs)]


async def unsettled(tx: Transaction, scheme: str, payee: str) -> int:
    """Units that a centre is due beyond its batches; below zero, what corrections took off after they were settled."""
    centre = centre_of(payee)
    if centre is None:
        return 0
    batches = [batch for batch in await load_batches(tx.connection, scheme, payee) if batch.is_live]
    after = max((batch.upto for batch in batches), default=-1)
    due = await due_lines(tx.connection, centre, scheme, after, tx.now_ns // 1000 + 1, {})
    kept = (await load_disputes(tx.connection)).left_out(scheme, centre, batches)
    waiting = [*due.lines, *await _not_in(tx, kept, batches)]
    return sum(line.units for line in waiting) + (batches[-1].carried if batches else 0)


async def _not_in(tx: Transaction, lines: list[Line], batches: list[Batch]) -> list[Line]:
    """Lines that none of these batches has."""
    taken = await store.batches_of_lines(tx.connection, {line.seq for line in lines})
    live = {batch.id for batch in batches}
    return [line for line in lines if not live.intersection(taken.get(line.place, ()))]


async def _step(
    tx: Transaction, found: Batch, action: Action, units: int, actor: str, redeemed: int = 0
) -> tuple[Leg, ...]:
    ways = _ways(found.scheme, found.mode, found.payee)
    return await move(tx, ways, await life_of(tx, ways, found.mode, redeemed), action, units, actor)


def _ways(scheme: str, mode: str, payee: str) -> Ways:
    centre = centre_of(payee)
    return Ways(scheme, payee, receivable(centre) if centre else "", source_bucket(mode))


def _require_undisputed(found: Batch, disputes: Disputes, lines: list[Line]) -> None:
    disputed = disputes.open_in(found, lines)
    if disputed:
        listed = "、".join(disputed)
        raise VoucherError(
            "batch-disputed",
            f"批次含有争议中的收据：{listed}；请先处理，或退回重列",
            f"receipts in it are disputed: {', '.join(disputed)}; resolve them, or return the batch and prepare it anew",
            kind=Kind.CONFLICT,
        )


def require_reason(text: str) -> str:
    """A reason, reference or basis in words.

    Raises:
        VoucherError: `reason-missing`.

    """
    if not text.strip() or len(text) > REASON_MAX or not text.isprintable():
        raise VoucherError(
            "reason-missing",
            f"须写明理由或凭据（至多 {REASON_MAX} 个可见字符）",
            f"give a reason or reference of at most {REASON_MAX} printable characters",
        )
    return text.strip()


def read_day(text: str) -> date:
    """A day as `2026-11-28`.

    Raises:
        VoucherError: `day-malformed`.

    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise VoucherError(
            "day-malformed", f"日期“{text[:20]}”应形如 2026-11-28", f"a day is written 2026-11-28, not {text[:20]!r}"
        ) from None
