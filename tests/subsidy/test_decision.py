"""Decisions as records: one spelling, everything follows from facts and documents, and any change of either shows."""

import copy
import json
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import jws
from ledger.ed25519 import PublicKey
from subsidy.cases import read_cases
from subsidy.decision import (
    ABSENT,
    SAID_BY_RULES,
    TYP,
    RuleBook,
    canonical,
    compare,
    digest_of,
    facts_digest,
    find_texts,
    parse,
    plain_facts,
    replay,
    say,
    signing_input,
    token_of,
)
from subsidy.errors import SubsidyError
from subsidy.evaluate import evaluate
from subsidy.facts import read_facts
from subsidy.policies import read_policies
from tests.shared_data import ROOT, SHARED, needs_shared
from tests.subsidy.decisions import DAY, LOAN, RACKS, policies_at
from tests.subsidy.test_revisions import revised
from tests.voucher.samples import KEY, PRIVATE

SALT = "00" * 16
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~号", max_size=3), inner, max_size=3),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def book():
    return RuleBook(*policies_at(ROOT / "config/policies"))


def recorded(book, clause, raw, on=DAY):
    """A record as it would be kept, and its facts as written."""
    facts, findings = read_facts(book.policies.facts, raw, str)
    assert not findings
    frame = {"id": "SQD-1", "issuer": "urn:x:y", "key": "k", "decided_us": 1_780_000_000_000_001, "salt": SALT}
    said = say(book, evaluate(book.policies, clause, facts, on), facts, SALT)
    return {**frame, "clause": clause, "on": on.isoformat(), **said}, plain_facts(facts)


def test_a_record_is_made_again_to_the_byte(book):
    """What the rules say of the recorded facts is what was recorded; nothing differs."""
    record, facts = recorded(book, "323:(二)1", RACKS)
    assert record["result"]["amount_fen"] == 200_000_000
    assert replay(record, facts, book) == []
    assert replay(parse(canonical(record)), parse(canonical(facts)), book) == []
    assert {entry["sha256"] for entry in record["documents"]} == {
        sha256(text.encode()).hexdigest() for text in book.texts.values()
    }


def test_a_record_names_the_revision_and_the_readings_that_decided(book):
    """With two revisions at hand each day is replayed by its own; another reading taken shows by its name."""
    texts = revised(book.texts, ("ge: 1000\n", "ge: 2001\n"), since="2025-09-02")
    both = RuleBook(texts, read_policies(texts))
    records = [recorded(both, "323:(二)1", RACKS, on) for on in (DAY, DAY + timedelta(days=1))]
    decided = [record["explanation"]["documents"][0] for record, _ in records]
    assert [document["revision"] for document in decided] == [1, 2]
    for (record, facts), document in zip(records, decided, strict=True):
        assert replay(record, facts, both) == []
        assert document["digest"] in {entry["sha256"] for entry in record["documents"]}
        assert record["readings"] == {name: one.taken for name, one in both.policies.era(DAY).readings.items()}
    name, one = next((name, one) for name, one in both.policies.readings.items() if one.switches)
    option = next(option for option in one.options if option != one.taken)
    record, facts = records[1]
    other = RuleBook(texts, read_policies(texts, {name: option}))
    assert f"/readings/{name}" in {found.pointer for found in replay(record, facts, other)}


@needs_shared
def test_every_acceptance_case_is_replayed_to_the_byte(book):
    """A decision on each acceptance case, written and read again, replays without a difference."""
    cases = read_cases(book.policies, (SHARED / "cases/clauses.yaml").read_text("utf-8"), "clauses.yaml")
    assert len(cases) > 100
    for case in cases:
        record, facts = recorded(book, case.clause, {}, case.on)
        facts = plain_facts(case.facts)
        record |= say(book, evaluate(book.policies, case.clause, case.facts, case.on), case.facts, SALT)
        assert replay(parse(canonical(record)), parse(canonical(facts)), book) == [], case.id


def test_another_fact_shows_where_it_changes_the_answer(book):
    """With PUE 1.25 instead of 1.2499 the verdict, the amount and the hash of the facts differ, each at its place."""
    record, facts = recorded(book, "323:(二)1", RACKS)
    found = {
        one.pointer: (one.recorded, one.replayed) for one in replay(record, facts | {"pue_after_upgrade": "1.25"}, book)
    }
    assert found["/explanation/conditions/3/value"] == ("1.2499", "1.25")
    assert found["/explanation/conditions/3/verdict"] == ("met", "failed")
    assert found["/result/status"] == ("eligible", "not_eligible")
    assert found["/result/amount_fen"] == (200_000_000, None)
    assert "/facts_sha256" in found


def test_a_fact_that_decides_nothing_shows_in_the_hash(book):
    """A fact that no condition of the clause reads changes no verdict, and is still not what was recorded."""
    record, facts = recorded(book, "323:(七)", LOAN)
    found = replay(record, facts | {"pue": "1.1"}, book)
    assert [one.pointer for one in found] == ["/facts_sha256"]


def test_another_document_shows(book):
    """A comment more in a document is another document; a bound that moved shows in the condition, too."""
    record, facts = recorded(book, "323:(二)1", RACKS)
    changes = {"": ["/documents/1/sha256"], "2001": ["/documents/1/sha256", "/explanation/conditions/1/threshold"]}
    for bound, pointers in changes.items():
        texts = dict(book.texts)
        texts["323-2024.yaml"] += "# seen\n"
        if bound:
            texts["323-2024.yaml"] = texts["323-2024.yaml"].replace("ge: 1000\n", f"ge: {bound}\n")
        other = RuleBook(texts, read_policies(texts))
        found = {one.pointer for one in replay(record, facts, other)}
        assert set(pointers) <= found
        assert "/explanation/documents/0/digest" in found


def test_every_part_that_the_rules_say_is_compared(book, seed):
    """Any one leaf changed anywhere under what the rules say is found, and its place is named."""
    record, facts = recorded(book, "323:(二)1", RACKS)
    random = Random(f"{seed} leaves")
    for name in SAID_BY_RULES:
        changed = copy.deepcopy(record)
        holder, key = random.choice(list(leaves(changed, name)))
        holder[key] = "changed" if holder[key] != "changed" else "x"
        found = replay(changed, facts, book)
        assert len(found) == 1, (name, found)
        assert found[0].pointer.startswith(f"/{name}")
        assert found[0].recorded == "changed"


def leaves(holder, key):
    value = holder[key]
    children = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    if not children:
        yield holder, key
    for child in children:
        yield from leaves(value, child)


def test_facts_are_written_so_that_they_read_the_same(book):
    """Shares keep their zeros, sets and days come back, and what is assumed is written out."""
    raw = {
        "green_power_share": "0.10",
        "municipal_headquarters_titles": ["trade_headquarters"],
        "parameter_count": 10**12,
    }
    facts, findings = read_facts(book.policies.facts, raw, str)
    assert not findings
    written = parse(canonical(plain_facts(facts)))
    assert written["green_power_share"] == "0.10"
    assert written["superior_policy_conflicts"] is False
    assert read_facts(book.policies.facts, written, str) == (facts, [])


def test_the_hash_of_facts_needs_the_salt():
    """Equal facts of two decisions have nothing in common, so nobody can try guesses."""
    assert facts_digest(SALT, LOAN) != facts_digest("11" * 16, LOAN)
    assert facts_digest(SALT, LOAN) == sha256(bytes(16) + canonical(LOAN)).hexdigest()


@given(JSON)
def test_canonical_bytes_are_read_back_and_written_the_same(value):
    """One spelling: what is read from it is written as it was, in whatever order it was made."""
    data = canonical(value)
    assert canonical(parse(data)) == data
    assert json.loads(data) == value


@given(JSON, JSON)
def test_values_differ_exactly_where_their_bytes_do(one, two):
    """`compare` finds nothing if and only if the canonical bytes are equal."""
    assert (list(compare(one, two)) == []) == (canonical(one) == canonical(two))


def test_places_are_json_pointers():
    """Members are named as RFC 6901 says; what is on one side only is called absent on the other."""
    found = list(compare({"a/b": {"~": [1]}, "n": 1}, {"a/b": {"~": [1, 2]}, "n": True}))
    assert [(one.pointer, one.recorded, one.replayed) for one in found] == [("/a~1b/~0/1", ABSENT, 2), ("/n", 1, True)]


@pytest.mark.parametrize("value", [1.0, Decimal(1), {1: 2}, "\ud800", b"x", [float("nan")]])
def test_what_has_no_one_spelling_is_refused(value):
    """Floats, numbers as names, half characters and bytes cannot stand in a record."""
    with pytest.raises(SubsidyError) as caught:
        canonical({"x": value})
    assert caught.value.code == "decision-not-canonical"


@pytest.mark.parametrize("data", [b'{"a":1,"a":2}', b"1.5", b"NaN", b"\xff", b"[", b"[" * 10_000])
def test_what_is_no_strict_file_is_refused(data):
    """Repeated members, floats, other encodings and broken or bottomless JSON are named as such."""
    with pytest.raises(SubsidyError) as caught:
        parse(data)
    assert caught.value.code == "decision-malformed"


def test_an_incomplete_record_and_wrong_facts_are_named(book):
    """A record without a clause, with no day, or with facts that these documents do not know."""
    record, facts = recorded(book, "323:(七)", LOAN)
    for changed, given_facts in (
        ({name: value for name, value in record.items() if name != "clause"}, facts),
        (record | {"on": "yesterday"}, facts),
        (record | {"salt": "?"}, facts),
        (record, facts | {"company_sise": "small"}),
    ):
        with pytest.raises(SubsidyError) as caught:
            replay(changed, given_facts, book)
        assert caught.value.code == "decision-malformed"


def test_a_document_that_is_not_at_hand_is_named_by_its_hash(book):
    """Documents are looked up by hash alone: under another file name they serve, without one they are missing."""
    record, _ = recorded(book, "323:(七)", LOAN)
    at_hand = {sha256(text.encode()).hexdigest(): text for text in book.texts.values()}
    assert find_texts(record, at_hand) == book.texts
    gone = record["documents"][0]["sha256"]
    del at_hand[gone]
    with pytest.raises(SubsidyError) as caught:
        find_texts(record, at_hand)
    assert caught.value.code == "document-not-found"
    assert gone in caught.value.en


def test_the_signed_statement_names_record_and_moment(book):
    """Issuer, id, second and digest, under the decision's own type: no verifier of vouchers takes it."""
    record, _ = recorded(book, "323:(七)", LOAN)
    record["key"] = KEY.kid
    token = token_of(record, PRIVATE.sign(signing_input(record)))
    claims = jws.verify(token, {KEY.kid: PublicKey.of(PRIVATE)}, TYP)
    assert claims["jti"] == record["id"]
    assert claims["iat"] == 1_780_000_000
    assert len(token) < 600
    with pytest.raises(jws.JwsError):
        jws.verify(token, {KEY.kid: KEY}, "compute-voucher+jwt")
    assert digest_of(record) != digest_of(record | {"id": "SQD-2"})
