"""A changed policy file against the one in force: what differs, whether the checks pass, and what it would cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from ledger.errors import Finding
from subsidy.ask import beneficial
from subsidy.errors import SubsidyError
from subsidy.facts import Facts
from subsidy.guards import load_guards, sharpness
from subsidy.policies import Policies, read_policies
from subsidy.policy import Document
from subsidy.quotes import check_text, unquoted
from subsidy.readings import resolve
from subsidy.revisions import eras_of
from subsidy.simulate import Budget, Budgets, simulate
from subsidy.text_diff import edits
from subsidy.yaml_text import Table, read_yaml

SHARPNESS_PER_MILLE_MIN = 950


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed file among those in force: `texts` by file name, of which `replaced` is the newest revision of its document."""

    texts: Mapping[str, str]
    name: str
    text: str
    replaced: str | None
    policies: Policies
    document: Document

    @property
    def digest(self) -> str:
        """The sha256 of the file."""
        return sha256(self.text.encode()).hexdigest()

    @property
    def base_digest(self) -> str:
        """The sha256 of the file it takes over from, empty for a new document."""
        return "" if self.replaced is None else sha256(self.texts[self.replaced].encode()).hexdigest()

    @property
    def effective(self) -> dict[str, str]:
        """The newest revision of every document, this one in its place."""
        return {
            **{name: self.texts[name] for name in newest(self.texts) if name != self.replaced},
            self.name: self.text,
        }


def newest(texts: Mapping[str, str]) -> list[str]:
    """The names of the files that decide today or later: the newest revision of every document."""
    names: list[str] = []
    for _, deciding in eras_of({name: read_yaml(text, name) for name, text in texts.items()}):
        names = deciding
    return names


def read_candidate(texts: Mapping[str, str], name: str, text: str) -> Candidate:
    """A proposed file; it must have the next revision of its document.

    Raises:
        SubsidyError: `yaml-refused`, `document-malformed` or `proposal-same`.

    """
    wanted = read_yaml(text, name)
    document = _id(wanted)
    replaced = next((other for other in newest(texts) if _id(read_yaml(texts[other], other)) == document), None)
    kept = {other: texts[other] for other in newest(texts) if other != replaced}
    policies = read_policies({**kept, name: text})
    candidate = Candidate(texts, name, text, replaced, policies, policies.documents[str(document)])
    _require_next(candidate, texts)
    return candidate


def _id(table: Table) -> object:
    header = table.get("document")
    return header.get("id") if isinstance(header, Table) else None


def _require_next(candidate: Candidate, texts: Mapping[str, str]) -> None:
    if candidate.digest == candidate.base_digest:
        raise SubsidyError("proposal-same", "与现行文件完全相同", "the file is the same as the one in force")
    before = 0 if candidate.replaced is None else _revision(texts[candidate.replaced], candidate.replaced)
    if candidate.document.revision != before + 1:
        place = f"{candidate.name}: document.revision"
        zh, en = f"revision 应写 {before + 1}", f"`revision` must be {before + 1}, the one in force has {before}"
        raise SubsidyError("document-malformed", zh, en, findings=[Finding("document-malformed", zh, en, place)])


def _revision(text: str, name: str) -> int:
    header = read_yaml(text, name)["document"]
    assert isinstance(header, Table)
    revision = header["revision"]
    assert isinstance(revision, int)
    return revision


def examine(
    candidate: Candidate,
    source: bytes | None,
    guards: Path,
    applicants: Callable[[], Iterable[tuple[Facts, date]]] | None,
    step: Callable[[int], None],
) -> dict[str, Any]:
    """The report on a proposal, as JSON carries it; `refusals` are what keeps it from being adopted, in both languages.

    `source` is the official text, `guards` the folder of cases, `applicants` past applications of which the money is compared.
    """
    checks = {
        "quotes": _quotes(candidate.document, source),
        "cases": _cases(candidate, guards),
        "sharpness": _sharpness(candidate, guards, step),
    }
    before = candidate.texts.get(candidate.replaced or "")
    was = {} if before is None else read_yaml(before, candidate.replaced or "")
    return {
        "document": candidate.document.id,
        "revision": candidate.document.revision,
        "digest": candidate.digest,
        "base_digest": candidate.base_digest,
        "checks": checks,
        "refusals": [refusal for check in checks.values() for refusal in check["refusals"]],
        "edits": [
            {"place": edit.place, "before": edit.before, "after": edit.after}
            for edit in edits(was, read_yaml(candidate.text, candidate.name))
        ],
        "money": None if applicants is None else _money(candidate, applicants),
    }


def _quotes(document: Document, source: bytes | None) -> dict[str, Any]:
    found = [_refusal(finding) for finding in check_text(document, source)] if source is not None else []
    if source is None:
        zh, en = "没有官方原文，引文未核对", "there is no official text, so that no quote could be compared"
        found.append({"where": document.id, "zh": zh, "en": en})
    for clause in document.clauses:
        if numbers := unquoted(clause.benefit):
            words = ", ".join(map(str, numbers))
            zh, en = f"引文中没有这些数：{words}", f"the quote of the benefit does not name {words}"
            found.append({"where": clause.id, "zh": zh, "en": en})
    return {"compared": source is not None, "refusals": found}


def _refusal(finding: Finding) -> dict[str, str]:
    return {"where": finding.where, "zh": finding.zh, "en": finding.en}


def _cases(candidate: Candidate, folder: Path) -> dict[str, Any]:
    guards = load_guards(candidate.policies, folder)
    failing = [guard.id for guard in guards if not guard.holds(candidate.policies)]
    refusals = [{"where": name, "zh": "与预期答案不同", "en": "does not answer as expected"} for name in failing]
    return {"cases": len(guards), "failing": failing, "refusals": refusals}


def _sharpness(candidate: Candidate, folder: Path, step: Callable[[int], None]) -> dict[str, Any]:
    tables, _ = resolve({name: read_yaml(text, name) for name, text in candidate.effective.items()}, {})
    found = sharpness(tables, candidate.name, load_guards(candidate.policies, folder), step)
    refusals = []
    if found.per_mille < SHARPNESS_PER_MILLE_MIN:
        zh = f"案例只能发现 {found.per_mille}‰ 的小改动，至少要 {SHARPNESS_PER_MILLE_MIN}‰；请为新条件补案例"
        en = (
            f"the cases notice {found.per_mille} of 1000 small changes, {SHARPNESS_PER_MILLE_MIN} are needed; add cases"
        )
        refusals.append({"where": candidate.name, "zh": zh, "en": en})
    return {
        "changes": found.made,
        "per_mille": found.per_mille,
        "survivors": list(found.survivors),
        "refusals": refusals,
    }


def _money(candidate: Candidate, applicants: Callable[[], Iterable[tuple[Facts, date]]]) -> list[dict[str, Any]]:
    """What past applications would have come to, before and after, by clause and year, where it differs."""
    base = read_policies({name: candidate.texts[name] for name in newest(candidate.texts)}) if candidate.texts else None
    names = beneficial(candidate.policies)
    before = _sums(base, applicants(), beneficial(base)) if base is not None else {}
    after = _sums(candidate.policies, applicants(), names)
    nothing = Budget()
    rows = ((key, before.get(key, nothing), after.get(key, nothing)) for key in sorted({**before, **after}))
    return [
        {"clause": name, "year": year, "before": _ends(was), "after": _ends(now)}
        for (name, year), was, now in rows
        if _ends(was) != _ends(now)
    ]


def _sums(policies: Policies, applicants: Iterable[tuple[Facts, date]], clauses: Sequence[str]) -> Budgets:
    budgets: Budgets = {}
    for found in simulate(policies, applicants, clauses):
        budgets = found
    return budgets


def _ends(budget: Budget) -> dict[str, Any]:
    return {"eligible": budget.eligible, "low_fen": budget.low_fen, "high_fen": budget.high_fen}


def with_effective_day(candidate: Candidate, on: date) -> str:
    """The file with `effective_from` in its header, which is what comes into force.

    Raises:
        SubsidyError: `document-malformed`: the header does not have one field a line.

    """
    header = read_yaml(candidate.text, candidate.name)["document"]
    assert isinstance(header, Table)
    lines = candidate.text.splitlines(keepends=True)
    at = header.lines.get("effective_from", header.lines["revision"]) - 1
    field = lines[at]
    if field.strip().partition(":")[0] not in {"effective_from", "revision"}:
        zh, en = "document 下每行只写一个字段", "write the fields of `document` one a line"
        raise SubsidyError("document-malformed", f"{candidate.name}: {zh}", f"{candidate.name}: {en}")
    indent = field[: len(field) - len(field.lstrip())]
    written = f"{indent}effective_from: {on.isoformat()}\n"
    end = at + (0 if "effective_from" in header.lines else 1)
    return "".join([*lines[:end], written, *lines[at + 1 :]])
