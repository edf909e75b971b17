"""Files of cases: what does this scheme give for this claim on this day? Each case is answered on its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from ledger.errors import Finding
from subsidy.fields import Faults, Fields, nearest
from subsidy.yaml_text import read_yaml
from voucher.claim import Place, read_claim
from voucher.decide import Decision, decide
from voucher.figure import yuan_text
from voucher.scheme import Series


@dataclass(frozen=True, slots=True)
class Answer:
    """The decision on one case, None where its facts cannot be used, and what is wrong with them."""

    id: str
    scheme: str
    decision: Decision | None
    findings: tuple[Finding, ...]

    @property
    def faulty(self) -> bool:
        """Whether there is no decision; an unknown fact that no rule reads is only mentioned."""
        return self.decision is None


def answer_cases(series: Mapping[str, Series], text: str, source: str) -> list[Answer]:
    """Answers to the `cases` of a YAML or JSON file; what a case expects is left alone.

    Raises:
        SubsidyError: `yaml-refused`, or `document-malformed`: a case without id, scheme, day or facts.

    """
    faults = Faults(source)
    tables = Fields(faults, read_yaml(text, source), "").tables("cases", required=True)
    cases = [
        (fields, fields.text("id"), fields.text("scheme"), fields.day("date"), fields.table("facts"))
        for fields in tables
    ]
    faults.raise_any()
    return [
        _answer(series, case, scheme, on, facts, fields.place("scheme")) for fields, case, scheme, on, facts in cases
    ]


def _answer(series: Mapping[str, Series], case: str, scheme: str, on: date, facts: Fields, place: str) -> Answer:
    chosen = series.get(scheme)
    if chosen is None:
        zh, en = nearest(scheme, list(series))
        finding = Finding("scheme-unknown", f"没有方案“{scheme}”{zh}", f"there is no scheme {scheme}{en}", place)
        return Answer(case, scheme, None, (finding,))
    decision, findings = answer(chosen, facts.raw, on, lambda path: facts.place(path.partition("/")[0]))
    return Answer(case, scheme, decision, tuple(findings))


def answer(series: Series, raw: Mapping[str, object], on: date, place: Place) -> tuple[Decision | None, list[Finding]]:
    """The decision on raw facts, None if some cannot be used; findings name those, and facts that no rule reads."""
    claim, findings = read_claim(series.latest.facts, raw, on, place)
    if any(finding.code != "fact-unknown" for finding in findings):
        return None, findings
    return decide(series, claim, on), findings


def differs(series: Series, raw: object, on: date, amount_yuan: str) -> tuple[str, str] | None:
    """How the decision on a published example differs from its figure, in Chinese and English; None if it does not."""
    if not isinstance(raw, Mapping):
        return "算例须有表 facts", "an example needs a table of facts"
    decision, findings = answer(series, raw, on, str)
    amount = None if decision is None or decision.amount_fen is None else yuan_text(Fraction(decision.amount_fen))
    if amount == amount_yuan and not findings:
        return None
    said = findings[0].en if findings else str(amount)
    return f"规则算不出公布的算例：{said}", f"the rules do not give the published example: {said}"


def decision_object(decision: Decision) -> dict[str, Any]:
    """A decision as plain values, with every step; amounts are decimal strings of yuan."""
    scheme = decision.scheme
    amount = decision.amount_fen
    return {
        "scheme": scheme.id,
        "version": scheme.version,
        "digest": scheme.digest,
        "decisive_date": scheme.decisive,
        "decisive_on": None if decision.decisive_on is None else decision.decisive_on.isoformat(),
        "status": decision.status.value,
        "amount_yuan": None if amount is None else yuan_text(Fraction(amount)),
        "limits": list(decision.limits),
        "failed": [failure.id for failure in decision.failed],
        "missing": list(decision.missing),
        "payable": decision.payable,
        "unknown": list(scheme.unknown),
        "reasons": [
            {"id": failure.id, "zh": failure.zh, "en": failure.en, "source": failure.source}
            for failure in decision.failed
        ],
        "steps": [
            {
                "step": step.id,
                "zh": step.zh,
                "en": step.en,
                "amount_yuan": None if step.fen is None else yuan_text(step.fen),
                "source": step.source,
            }
            for step in decision.steps
        ],
    }
