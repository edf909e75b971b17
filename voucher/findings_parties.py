"""Abuse checks about who: relations, clusters of applicants, split firms, borrowed vouchers, reviewers, banned persons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from voucher.finding import Evidence, Suspicion, Thresholds

RELATING = ("shareholder", "officer", "address", "phone", "bank_account")
"""What ties two parties together when they share it."""
CLUSTERING = ("ip", "building", "device", "bank_account")
"""What ties applications together: organised proxy applications came from one building (Korea, 2021)."""


@dataclass(frozen=True, slots=True)
class Party:
    """A firm or a person with what is known of it: kind and value, such as `("phone", "021-5555")`."""

    id: str
    traits: frozenset[tuple[str, str]]


class Relations:
    """Who is tied to whom by a shared trait, directly or over others."""

    def __init__(self, parties: Iterable[Party], kinds: Sequence[str] = RELATING) -> None:
        self._traits: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._owners: dict[tuple[str, str], set[str]] = defaultdict(set)
        for party in parties:
            for trait in party.traits:
                if trait[0] in kinds:
                    self._traits[party.id].add(trait)
                    self._owners[trait].add(party.id)

    def path(self, first: str, second: str, depth: int) -> tuple[Evidence, ...]:
        """What leads from one party to another in at most `depth` steps, shortest first; empty where nothing does."""
        reached: dict[str, tuple[Evidence, ...]] = {first: ()}
        edge = [first]
        for _ in range(depth):
            following = []
            for party in edge:
                for other, evidence in self._next(party):
                    if other not in reached:
                        reached[other] = (*reached[party], evidence)
                        following.append(other)
            if second in reached:
                return reached[second]
            edge = following
        return ()

    def group(self, party: str, depth: int) -> tuple[str, ...]:
        """Everybody within `depth` steps, the party first, the others in order."""
        reached, edge = {party}, {party}
        for _ in range(depth):
            edge = {other for known in edge for other, _ in self._next(known)} - reached
            reached |= edge
        return (party, *sorted(reached - {party}))

    def _next(self, party: str) -> Iterator[tuple[str, Evidence]]:
        for trait in sorted(self._traits[party]):
            for other in sorted(self._owners[trait] - {party}):
                yield other, Evidence(trait[0], trait[1], f"{party} – {other}")


def related_parties(deals: Iterable[tuple[str, str]], relations: Relations, limits: Thresholds) -> Iterator[Suspicion]:
    """A2: beneficiary and provider of a deal are tied together."""
    for beneficiary, provider in dict.fromkeys(deals):
        ties = relations.path(beneficiary, provider, limits.relation_depth)
        if ties:
            yield Suspicion(
                "A2",
                beneficiary,
                f"与服务商 {provider} 有 {len(ties)} 步之内的关联",
                f"is tied to its provider {provider} in {len(ties)} step(s)",
                "核对股权、任职与承诺书 / check shares, offices and the pledge",
                ties,
                provider,
            )


def proxy_clusters(applications: Iterable[Party], limits: Thresholds) -> Iterator[Suspicion]:
    """A4: many applicants behind one address on the network, building, device or bank account."""
    behind: dict[tuple[str, str], set[str]] = defaultdict(set)
    for application in applications:
        for trait in application.traits:
            if trait[0] in CLUSTERING:
                behind[trait].add(application.id)
    for (kind, value), applicants in sorted(behind.items()):
        if len(applicants) >= limits.cluster_applicants:
            yield Suspicion(
                "A4",
                value,
                f"{len(applicants)} 家申请单位共用同一 {kind}",
                f"{len(applicants)} applicants share one {kind}",
                "是否有人组织代为申请 / whether somebody applies for others",
                tuple(Evidence(kind, value, applicant) for applicant in sorted(applicants)),
                kind,
            )


def split_firms(
    claimed: Mapping[str, int], cap_fen: int, relations: Relations, limits: Thresholds, period: str = ""
) -> Iterator[Suspicion]:
    """A6: related firms that each stay under a cap exceed it together; `period` is the scheme and year of the cap."""
    seen: set[str] = set()
    for firm in sorted(claimed):
        group = [member for member in relations.group(firm, limits.relation_depth) if member in claimed]
        total = sum(claimed[member] for member in group)
        if firm in seen or len(group) == 1 or total <= cap_fen:
            continue
        seen.update(group)
        yield Suspicion(
            "A6",
            firm,
            f"关联的 {len(group)} 家合计 {total} 分，超过一家的上限 {cap_fen} 分",
            f"{len(group)} related firms claim {total} fen together, over the cap of one, {cap_fen}",
            "是否为多领而拆分 / whether a firm was split to multiply caps",
            tuple(Evidence("claimed_fen", str(claimed[member]), member) for member in group),
            period,
        )


def borrowed_vouchers(
    spent: Iterable[tuple[str, str, str]], holders: Mapping[str, str], accounts: Mapping[str, str]
) -> Iterator[Suspicion]:
    """A8: a voucher paid for an account of somebody else. `spent` is voucher, account and usage record."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for voucher, account, record in spent:
        owner = accounts.get(account, "")
        if voucher in holders and owner != holders[voucher]:
            found[voucher, account].append(record)
    for (voucher, account), records in sorted(found.items()):
        owner = accounts.get(account, "")
        yield Suspicion(
            "A8",
            voucher,
            f"持券人 {holders[voucher]} 的券用于 {owner or '未登记者'} 的账户 {account}",
            f"a voucher of {holders[voucher]} paid for the account {account} of {owner or 'nobody known'}",
            "是否转让、出借 / whether it was sold or lent",
            tuple(Evidence("usage_record", record, account) for record in records),
            account,
        )


def own_use(
    deals: Iterable[tuple[str, str, str]], owners: Mapping[str, str], relations: Relations, limits: Thresholds
) -> Iterator[Suspicion]:
    """A11: a plant of one's own sold to oneself as a service. `deals` are beneficiary, centre and contract type."""
    for beneficiary, centre, contract_type in dict.fromkeys(deals):
        owner = owners.get(centre, "")
        ties = relations.path(beneficiary, owner, limits.relation_depth) if owner else ()
        evidence = [Evidence("centre_owner", owner, centre)] if owner == beneficiary else list(ties)
        if contract_type in {"self_built", "self_use"}:
            evidence.append(Evidence("contract_type", contract_type, centre))
        if evidence:
            yield Suspicion(
                "A11",
                beneficiary,
                f"疑似自建自用：中心 {centre}",
                f"looks like a plant of its own: {centre}",
                "中心产权与合同性质 / who owns the centre, and what the contract is",
                tuple(evidence),
                centre,
            )


@dataclass(frozen=True, slots=True)
class Act:
    """One step of the procedure: what was done on which case, by whom, and where the log has it (empty where it does not)."""

    case: str
    step: str
    person: str
    logged_at: str


def insider_acts(
    acts: Iterable[Act],
    applicants: Mapping[str, str],
    relations: Relations,
    limits: Thresholds,
    apart: Collection[frozenset[str]] | None = None,
) -> Iterator[Suspicion]:
    """A14: one person on both sides of a decision, a reviewer tied to the applicant, a step that the log does not have.

    `apart` are pairs of steps that two people take; without them any two steps are.
    """
    by_case: dict[str, list[Act]] = defaultdict(list)
    for act in acts:
        by_case[act.case].append(act)
    question = "复核经办与回避 / check who acted and who should have stepped aside"
    for case, steps in sorted(by_case.items()):
        people: dict[str, list[Act]] = defaultdict(list)
        for act in steps:
            people[act.person].append(act)
        for person, own in sorted(people.items()):
            kinds = dict.fromkeys(act.step for act in own)
            if len(kinds) > 1 and (apart is None or any(pair <= kinds.keys() for pair in apart)):
                evidence = tuple(Evidence(act.step, person, act.logged_at or case) for act in own)
                zh, en = (
                    f"{person} 办理了 {len(kinds)} 个应分开的环节",
                    f"{person} took {len(kinds)} steps that two people take",
                )
                yield Suspicion("A14", case, zh, en, question, evidence, f"steps {person}")
            ties = relations.path(person, applicants.get(case, ""), limits.relation_depth) if case in applicants else ()
            if ties:
                zh, en = f"{person} 与申请单位有关联", f"{person} is tied to the applicant"
                yield Suspicion("A14", case, zh, en, question, ties, f"tie {person}")
        unlogged = tuple(Evidence(act.step, act.person, act.case) for act in steps if not act.logged_at)
        if unlogged:
            zh, en = f"{len(unlogged)} 个环节不在账本日志中", f"{len(unlogged)} step(s) are not in the log"
            yield Suspicion("A14", case, zh, en, question, unlogged, "unlogged")


def banned_again(
    applicants: Iterable[str], banned: Mapping[str, str], relations: Relations, limits: Thresholds
) -> Iterator[Suspicion]:
    """A15: a banned firm, or one that is tied to it, applies. `banned` gives the decision by firm."""
    for applicant in dict.fromkeys(applicants):
        for firm in sorted(banned):
            ties = relations.path(applicant, firm, limits.relation_depth)
            if applicant == firm or ties:
                name = "其本身" if applicant == firm else f"关联的 {firm}"
                evidence = (Evidence("sanction", banned[firm], firm), *ties)
                zh, en = (
                    f"{name} 在惩戒期内",
                    f"{'it' if applicant == firm else f'{firm}, to which it is tied,'} is banned",
                )
                question = "是否改名重来 / whether it came back under another name"
                yield Suspicion("A15", applicant, zh, en, question, evidence, firm)
