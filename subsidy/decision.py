"""A decision as a record: what was asked of which rules, what they said, and what the office made of it.

The record's canonical bytes are what is hashed, logged and signed. Everything in it that the rules say (`SAID_BY_RULES`)
follows from the facts and the documents named by hash, so that anybody who has these can make the same bytes again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from hashlib import sha256
from typing import Any

from ledger import base64url, jws
from ledger.errors import Kind
from subsidy.errors import SubsidyError
from subsidy.evaluate import EVALUATOR_VERSION, evaluate
from subsidy.explain import Explainer, plain, summary
from subsidy.facts import Facts, read_facts
from subsidy.outcome import Outcome
from subsidy.policies import Policies

FORMAT = 1
TYP = "subsidy-decision+jwt"
SALT_BYTES = 16
DEPTH_MAX = 64
SAID_BY_RULES = ("facts_sha256", "documents", "readings", "evaluator_version", "result", "explanation", "terms")


@dataclass(frozen=True)
class RuleBook:
    """The documents at hand: their texts by file name, every revision among them, and the rules that were read from them."""

    texts: Mapping[str, str]
    policies: Policies

    @cached_property
    def explainer(self) -> Explainer:
        """What puts outcomes of these rules into words."""
        return Explainer(self.policies)

    @cached_property
    def documents(self) -> list[dict[str, Any]]:
        """Every document that was at hand, by file name: id, revision, names, and the SHA-256 of the file's text."""
        by_digest = {document.digest: document for era in self.policies.eras() for document in era.documents.values()}
        digests = {name: text_digest(text) for name, text in sorted(self.texts.items())}
        return [
            {
                "file": name,
                "id": by_digest[digest].id,
                "revision": by_digest[digest].revision,
                "number": by_digest[digest].number,
                "title_zh": by_digest[digest].title_zh,
                "title_en": by_digest[digest].title_en,
                "sha256": digest,
            }
            for name, digest in digests.items()
        ]


def text_digest(text: str) -> str:
    """What a document is named by: SHA-256 of its text in UTF-8, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def canonical(value: object) -> bytes:
    """The one spelling of a value: JSON in UTF-8, members sorted by name, no white space, integers only (after RFC 8785).

    Raises:
        SubsidyError: `decision-not-canonical`: text that UTF-8 cannot carry, or what JSON cannot.

    """
    try:
        _refuse_odd(value, DEPTH_MAX)
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise SubsidyError(
            "decision-not-canonical", f"决定中有无法记录的内容：{error}", f"a decision cannot hold this: {error}"
        ) from error


def _refuse_odd(value: object, depth: int) -> None:
    if depth == 0:
        raise ValueError(f"nested deeper than {DEPTH_MAX}")
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("a member's name is no text")
        for item in value.values():
            _refuse_odd(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _refuse_odd(item, depth - 1)
    elif value is not None and type(value) not in (str, int, bool):
        raise TypeError(f"{type(value).__name__} is no text, integer, truth value, list or object")


def parse(data: bytes) -> Any:
    """What JSON says, read strictly: UTF-8, no repeated member, no float.

    Raises:
        SubsidyError: `decision-malformed`.

    """
    try:
        return _JSON.decode(data.decode())
    except (ValueError, RecursionError) as error:
        reason = str(error)[:100]
        raise SubsidyError(
            "decision-malformed", f"不是规范的决定文件：{reason}", f"not a strict decision file: {reason}"
        ) from error


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _no_float(text: str) -> None:
    raise ValueError(f"{text[:20]} is not an integer")


_JSON = json.JSONDecoder(object_pairs_hook=_members, parse_float=_no_float, parse_constant=_no_float)


def digest_of(record: Mapping[str, Any]) -> bytes:
    """SHA-256 of a record's canonical bytes."""
    return sha256(canonical(dict(record))).digest()


def signing_input(record: Mapping[str, Any]) -> bytes:
    """What is signed of a record: header and claims of a JWS that names its issuer, id, second and digest.

    Raises:
        JwsError: never of a record that was made here.

    """
    claims = {
        "iss": record["issuer"],
        "jti": record["id"],
        "iat": record["decided_us"] // 1_000_000,
        "sha256": base64url.encode(digest_of(record)),
    }
    return jws.signing_input(claims, typ=TYP, kid=record["key"])


def token_of(record: Mapping[str, Any], signature: bytes) -> str:
    """Compact JWS of a record and its signature."""
    return jws.compact(signing_input(record), signature)


def plain_facts(facts: Facts) -> dict[str, Any]:
    """Facts as JSON carries them; `read_facts` gives the same facts again."""
    return {name: plain(facts[name]) for name in sorted(facts)}


def facts_digest(salt: str, facts: Mapping[str, Any]) -> str:
    """What a record names its facts by: SHA-256 of the salt's bytes and the canonical facts.

    Without the salt a company's facts could be guessed and tried.
    """
    return sha256(bytes.fromhex(salt) + canonical(dict(facts))).hexdigest()


def say(book: RuleBook, outcome: Outcome, facts: Facts, salt: str) -> dict[str, Any]:
    """The part of a record that follows from facts and documents alone."""
    explanation, era = book.explainer.explain(outcome), book.policies.era(outcome.on)
    return {
        "facts_sha256": facts_digest(salt, plain_facts(facts)),
        "documents": book.documents,
        "readings": {name: era.readings[name].taken for name in sorted(era.readings)},
        "evaluator_version": EVALUATOR_VERSION,
        "result": summary(outcome),
        "explanation": explanation,
        "terms": _terms(era, {*_names(explanation["conditions"]), *outcome.missing}),
    }


def _names(conditions: list[dict[str, Any]]) -> Iterator[str]:
    """Every fact or quantity that explained conditions compare."""
    for condition in conditions:
        if "fact" in condition:
            yield condition["fact"]
        yield from _names(condition.get("parts") or [])


def _terms(policies: Policies, names: set[str]) -> dict[str, dict[str, str]]:
    """What names of facts and quantities mean, in the words of the documents, so that a record can be read without them."""
    quantities = {
        name: entry for document in policies.documents.values() for name, entry in document.quantities.items()
    }
    terms = {}
    for name in sorted(names):
        if name in policies.facts:
            fact = policies.facts[name]
            terms[name] = {"zh": fact.question_zh, "en": fact.question_en, "unit": fact.unit}
        elif name in quantities:
            terms[name] = {"zh": quantities[name].zh, "en": quantities[name].en, "unit": ""}
    return terms


@dataclass(frozen=True, slots=True)
class Difference:
    """One place at which a replayed record is not the recorded one (RFC 6901 pointer; `ABSENT` where there is nothing)."""

    pointer: str
    recorded: Any
    replayed: Any


ABSENT = "(absent)"


def replay(record: Mapping[str, Any], facts: Mapping[str, Any], book: RuleBook) -> list[Difference]:
    """Decide again from facts as written and the documents, and say where the bytes differ; an empty list says nowhere.

    Raises:
        SubsidyError: `decision-malformed`: members are missing, or the facts cannot be read by these documents.

    """
    try:
        clause, on, salt = record["clause"], date.fromisoformat(record["on"]), record["salt"]
        known, findings = read_facts(book.policies.facts, facts, lambda name: f"/facts/{name}")
        if findings:
            raise SubsidyError(
                "decision-malformed", "决定文件中的事实有误", "the facts of the file are not valid", findings=findings
            )
        said = say(book, evaluate(book.policies, clause, known, on), known, salt)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SubsidyError(
            "decision-malformed", f"决定记录不完整：{error}", f"the record of the decision is incomplete: {error}"
        ) from error
    again = {**record, **said}
    return [] if canonical(again) == canonical(dict(record)) else list(compare(dict(record), again))


def compare(recorded: Any, replayed: Any, pointer: str = "") -> Iterator[Difference]:
    """Every place at which two JSON values differ, in order."""
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        for name in sorted(recorded.keys() | replayed.keys()):
            place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from compare(recorded.get(name, ABSENT), replayed.get(name, ABSENT), place)
    elif isinstance(recorded, list) and isinstance(replayed, list):
        for at in range(max(len(recorded), len(replayed))):
            was, now = (values[at] if at < len(values) else ABSENT for values in (recorded, replayed))
            yield from compare(was, now, f"{pointer}/{at}")
    elif type(recorded) is not type(replayed) or recorded != replayed:
        yield Difference(pointer, recorded, replayed)


def find_texts(record: Mapping[str, Any], at_hand: Mapping[str, str]) -> dict[str, str]:
    """The documents that a record names, by file name, out of texts `at_hand` by their SHA-256.

    Raises:
        SubsidyError: `document-not-found`, naming each one that is missing.

    """
    named = {entry["file"]: entry["sha256"] for entry in record["documents"]}
    missing = [f"{name} {digest}" for name, digest in named.items() if digest not in at_hand]
    if missing:
        raise SubsidyError(
            "document-not-found",
            f"找不到决定所依据的政策文件：{'；'.join(missing)}；请用 --policies 指明其所在目录",
            f"the documents that were applied are not at hand: {'; '.join(missing)}; name their folder with --policies",
            kind=Kind.NOT_FOUND,
        )
    return {name: at_hand[digest] for name, digest in named.items()}
