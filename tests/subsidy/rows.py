"""Reads `rows.txt`, which says row by row what each clause must answer; its first lines explain the form."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from subsidy.facts import FactType
from subsidy.policies import Policies

TEXT = Path(__file__).with_name("rows.txt")


@dataclass(frozen=True)
class Row:
    """One row: a clause, a day, facts as written, and the answer in words."""

    id: str
    clause: str
    on: date
    facts: dict[str, object]
    answer: list[str]


def rows(policies: Policies) -> list[Row]:
    """Every row of the file."""
    names: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    found: list[Row] = []
    clause = on = passing = ""
    block: list[str] | None = None
    for line in logical_lines():
        if line.startswith("@ "):
            block = repeated.setdefault(line[2:], [])
        elif match := re.fullmatch(r"# (\S+) on (\S+)", line):
            clause, on = match.groups()
            block = None
        elif match := re.fullmatch(r"([A-Z_]+) = (.+)", line):
            names[match[1]] = replaced(match[2], names)
        elif line.startswith("passing: "):
            passing = replaced(line.removeprefix("passing: "), names)
        elif block is not None:
            block.append(line)
        else:
            written = expanded(replaced(line, names), repeated) if line.startswith("+ ") else [replaced(line, names)]
            found += [row(policies, clause, on, passing, text) for text in written]
    return found


def logical_lines() -> Iterator[str]:
    """The lines after the introduction, continued lines put together."""
    _, _, text = TEXT.read_text(encoding="utf-8").partition("\n\nNO_DUPLICATES")
    return filter(None, ("NO_DUPLICATES" + re.sub(r"\n +", " ", text)).splitlines())


def replaced(text: str, names: dict[str, str]) -> str:
    """The text with every `$NAME` written out."""
    return re.sub(r"\$([A-Z_]+)", lambda match: names[match[1]], text)


def expanded(line: str, repeated: dict[str, list[str]]) -> list[str]:
    """The rows that a line starting with `+` stands for."""
    kind, _, rest = line.removeprefix("+ ").partition(": ")
    if kind == "lacking each":
        materials = rest.split(",")
        return [
            f"materials_submitted=[{','.join(m for m in materials if m != name)}] -> open {name}" for name in materials
        ]
    name, documents = kind.split()
    if name == "flags":
        return [text for pair in rest.split() for text in flag_rows(pair, int(documents))]
    answers = (text.replace("$passes", rest) for text in repeated[name])
    return [re.sub(r"(\S+)\*", lambda match: " ".join([match[1]] * int(documents)), text) for text in answers]


def flag_rows(pair: str, documents: int) -> list[str]:
    """`fact=id` or `fact=true=id`."""
    fact, *value, requirement = pair.split("=")
    refused = " ".join([requirement] * documents)
    return [f"{fact}={value[0] if value else 'false'} -> refused {refused}", f"{fact}=null -> open {fact}"]


def row(policies: Policies, clause: str, on: str, passing: str, line: str) -> Row:
    """One row with its facts."""
    changes, answer = line.split(" -> ")
    written = dict(pair.split("=", 1) for pair in f"{passing} {changes}".split() if "=" in pair)
    day = date.fromisoformat(written.pop("on", on))
    facts = {name: value_of(policies, name, text) for name, text in written.items()}
    return Row(f"{clause} {changes}", clause, day, facts, answer.split())


def value_of(policies: Policies, name: str, written: str) -> object:
    """A value as a case file would hold it."""
    fact = policies.facts[name]
    if written in {"null", "true", "false"}:
        return {"null": None, "true": True, "false": False}[written]
    if written.startswith("["):
        return [item for item in written[1:-1].split(",") if item]
    if fact.type is FactType.INTEGER:
        return int(written)
    if fact.type is FactType.CHOICE and written not in fact.values:
        return written.replace("_", " ")
    return written
