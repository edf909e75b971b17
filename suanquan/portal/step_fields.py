"""The fields of a step that takes facts: those that it must have, those that the rules lack, and any other, each by its declaration.

What type a fact has, its unit, words and limits stand in the dictionary of the policy or scheme; nothing of it is laid out here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ledger.errors import Finding
from subsidy.facts import Dictionary, Fact, FactType
from subsidy.procedure import Step

PREFIX = "facts."
OTHER, OTHER_SAID = "other_fact", "other_fact_said"
LACKING_MAX = 40
"""Facts that the rules lack and a form asks for."""
_YES_NO = ("true", "false")


class FactField(NamedTuple):
    """A fact as a form asks for it: `words` to choose from, none where it is typed; `wanted` is what the step needs it to be."""

    name: str
    zh: str
    en: str
    kind: str
    words: tuple[str, ...]
    unit: str
    low: str
    high: str
    must: bool
    wanted: str = ""


def takes_facts(step: Step) -> bool:
    """Whether a step takes facts."""
    return "facts" in {*step.takes, *step.may_take}


def fact_fields(step: Step, dictionary: Dictionary, lacking: Iterable[str]) -> list[FactField]:
    """What a step needs, then what the rules lack, as far as the dictionary declares it."""
    if not takes_facts(step):
        return []
    needed = [name for name in step.needs_facts if name in dictionary]
    rest = [name for name in dict.fromkeys(lacking) if name in dictionary and name not in needed][:LACKING_MAX]
    return [
        *(field_of(dictionary[name], must=True, wanted=written(step.needs_facts[name])) for name in needed),
        *(field_of(dictionary[name]) for name in rest),
    ]


def field_of(fact: Fact, *, must: bool = False, wanted: str = "") -> FactField:
    """A fact as a form asks for it."""
    words = (
        _YES_NO if fact.type is FactType.FLAG else fact.values if fact.type is FactType.CHOICE and not fact.open else ()
    )
    low = str(fact.low) if fact.low or fact.high is not None else ""
    high = "" if fact.high is None else str(fact.high)
    return FactField(
        PREFIX + fact.name, fact.question_zh, fact.question_en, fact.type.value, words, fact.unit, low, high, must, wanted
    )  # fmt: skip


def written(value: object) -> str:
    """A fact as it is typed or chosen."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence | frozenset | set) and not isinstance(value, str):
        return ";".join(sorted(map(str, value)))
    return str(value)


def facts_of(typed: Mapping[str, str], dictionary: Dictionary) -> dict[str, Any]:
    """Facts as a form has them, in the form in which steps take them; what was left empty is left out."""
    said = {name.removeprefix(PREFIX): text for name, text in typed.items() if name.startswith(PREFIX) and text}
    if typed.get(OTHER) and typed.get(OTHER_SAID):
        said.setdefault(typed[OTHER], typed[OTHER_SAID])
    return {name: _value(dictionary.get(name), text) for name, text in said.items()}


def _value(fact: Fact | None, text: str) -> Any:
    if fact is not None and fact.type is FactType.FLAG:
        return text == "true" if text in _YES_NO else text
    if fact is not None and fact.type is FactType.SET:
        return [] if text == "-" else [word.strip() for word in text.replace("；", ";").replace("、", ";").split(";")]
    return text


def problems_of(findings: Iterable[Finding], language: str) -> dict[str, str]:
    """What is wrong, in words, by the field of the form that it is about."""
    found: dict[str, str] = {}
    for one in findings:
        first, _, rest = one.where.strip("/").partition("/")
        name = f"{PREFIX}{rest.replace('/', '.')}" if first == "facts" and rest else first
        found.setdefault(name, one.en if language == "en" else one.zh)
    return found
