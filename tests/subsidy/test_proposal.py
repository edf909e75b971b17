"""Proposals: what differs, whether the checks pass, what it would cost; and two people before it decides."""

import hashlib
import shutil
from datetime import date
from types import SimpleNamespace

import pytest

from ledger.errors import DomainError
from suanquan.home import Home, create_home
from suanquan.settings import Settings
from suanquan.use_cases.proposals import Act, Desk
from subsidy.facts import read_facts
from subsidy.guards import load_guards
from subsidy.policies import load_policies, policy_texts
from subsidy.proposal import examine, read_candidate, with_effective_day
from tests.conftest import ALL
from tests.shared_data import ROOT, SHARED, needs_shared
from tests.subsidy.passing import rows
from tests.subsidy.test_malformed import DOCUMENT

FOLDER = ROOT / "config" / "policies"
FIVE = "323:(五)"
ZHANG, LI = Act("张三", "2026-11-27T00:00:00Z"), Act("李四", "2026-11-28T00:00:00Z")
TODAY = date(2026, 11, 28)


def changed(*changes, revision=2):
    """The file of 323 with its next revision and some words changed."""
    text = policy_texts(FOLDER)["323-2024.yaml"].replace("revision: 1\n", f"revision: {revision}\n")
    for good, bad in changes:
        assert good in text
        text = text.replace(good, bad)
    return text


def report_of(policies, *changes, source=None, people=()):
    candidate = read_candidate(policy_texts(FOLDER), "new.yaml", changed(*changes))
    return examine(candidate, source, FOLDER / "cases", (lambda: people) if people else None, lambda _: None)


@needs_shared
def test_a_harmless_change_passes_every_check(policies):
    """Another wording of a question: quotes, cases and sharpness hold, and no past application comes to other money."""
    source = (SHARED / "policy" / "323-2024.txt").read_bytes()
    people = [(row.facts, row.on) for row in rows(policies)[:40]]
    report = report_of(policies, ("What PUE was", "Which PUE was"), source=source, people=people)
    assert report["refusals"] == []
    assert report["money"] == []
    assert report["checks"]["cases"]["cases"] > 600
    assert report["checks"]["sharpness"]["per_mille"] >= 980
    assert [edit["place"] for edit in report["edits"]] == ["document.revision", "facts.pue.en"]


@pytest.mark.skipif(not ALL, reason="mutates a whole document again: run with --all")
def test_a_changed_sum_is_seen_by_quotes_cases_and_money(policies):
    """A cap that the text does not say is refused three ways, and its price is told exactly."""
    row = next(row for row in rows(policies) if row.id == f"{FIVE} .")
    facts, _ = read_facts(policies.facts, row.written, str)
    report = report_of(policies, ("cap: 6_000_000", "cap: 5_000_000"), people=[(facts, date(2025, 9, 1))] * 3)
    said = [refusal["en"] for refusal in report["refusals"]]
    assert "there is no official text, so that no quote could be compared" in said
    assert "the quote of the benefit does not name 5000000" in said
    assert f"{FIVE} ." in report["checks"]["cases"]["failing"]
    assert {"place": f"clauses.{FIVE}.benefit.cap", "before": 6_000_000, "after": 5_000_000} in report["edits"]
    assert report["money"] == [
        {
            "clause": FIVE,
            "year": 2025,
            "before": {"eligible": 3, "low_fen": 1_800_000_000, "high_fen": 1_800_000_000},
            "after": {"eligible": 3, "low_fen": 1_500_000_000, "high_fen": 1_500_000_000},
        }
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (changed(revision=3), "document-malformed"),
        (policy_texts(FOLDER)["323-2024.yaml"], "proposal-same"),
        (changed(('lt: "1.25"', "lt: 1.25")), "yaml-refused"),
    ],
)
def test_a_file_that_is_not_the_next_revision_is_no_proposal(text, code):
    """The same file, a skipped number or a float is refused before any check."""
    with pytest.raises(DomainError) as error:
        read_candidate(policy_texts(FOLDER), "new.yaml", text)
    assert error.value.code == code


def test_the_first_day_is_written_into_the_header():
    """The adopted file is the proposed one with one line more, or with that line replaced."""
    candidate = read_candidate(policy_texts(FOLDER), "new.yaml", changed())
    adopted = with_effective_day(candidate, date(2026, 12, 1))
    assert adopted == candidate.text.replace("revision: 2\n", "revision: 2\n  effective_from: 2026-12-01\n")
    again = SimpleNamespace(text=adopted, name="new.yaml")
    assert "effective_from: 2027-01-01\n" in with_effective_day(again, date(2027, 1, 1))
    assert with_effective_day(again, date(2027, 1, 1)).count("effective_from") == 1


@pytest.fixture
def desk(tmp_path):
    """A home with one small document, its official text, and rows that guard it."""
    home = Home(tmp_path / "home")
    create_home(home, Settings(sandbox=True), b"canary passphrase 9f41")
    found = Desk(home)
    shutil.rmtree(found.folder)
    found.guards.mkdir(parents=True)
    (found.folder / "seven.yaml").write_text(SMALL, encoding="utf-8")
    (found.guards / "seven.rows").write_text(ROWS, encoding="utf-8")
    found.keep_text(TEXT, "seven.txt")
    return found


TEXT = "\n\n有称号的\nPUE 低于 1.25\n最高 1000 元\n\n\n\n自发布之日起施行\n".encode()
SMALL = DOCUMENT.replace("0" * 64, hashlib.sha256(TEXT).hexdigest())
ROWS = """\
# 7:一 on 2026-06-01
passing: pue=1.2499 racks=3999 titles=[gold]
. -> eligible 999
racks=4000 -> eligible 1000
racks=4001 -> eligible 1000 cap
pue=1.25 -> refused efficient
titles=[] -> refused titled
titles=[silver] -> eligible 999
on=2026-01-01 -> closed document_not_yet_in_force
on=2026-01-02 -> eligible 999
on=2026-12-31 -> eligible 999
on=2027-01-01 -> closed document_expired
"""
WORDS = ("What is the PUE", "Which PUE")
DECEMBER = date(2026, 12, 1)


def proposed(desk, tmp_path, *changes, cases=None):
    text = SMALL.replace("revision: 1\n", "revision: 2\n")
    for good, bad in changes:
        assert good in text
        text = text.replace(good, bad)
    path = tmp_path / "new.yaml"
    path.write_text(text, encoding="utf-8")
    return desk.propose(desk.candidate(path), ZHANG, None, lambda _: None, cases)


def test_another_person_adopts_and_the_day_decides(desk, tmp_path):
    """Until its day nothing changes; after it the new revision answers; who proposed and adopted stays on record."""
    report = proposed(desk, tmp_path, WORDS)
    assert report["refusals"] == []
    adopted = desk.adopt(report["id"], LI, DECEMBER, TODAY)
    policies = load_policies(desk.folder)
    assert policies.era(date(2026, 11, 30)).documents["7"].revision == 1
    assert policies.era(DECEMBER).documents["7"].revision == 2
    assert policies.documents["7"].digest == adopted["digest"]
    (listed,) = desk.list_proposals()
    assert (listed["proposed_by"], listed["adopted"]["adopted_by"]) == ("张三", "李四")
    assert len(load_guards(policies, desk.guards)) == 10


@pytest.mark.parametrize("name", ["张三", " 张 三", "张三\u3000"])
def test_nobody_adopts_their_own_proposal(desk, tmp_path, name):
    """Spaces and widths do not make another person."""
    report = proposed(desk, tmp_path, WORDS)
    with pytest.raises(DomainError) as error:
        desk.adopt(report["id"], Act(name, LI.at), DECEMBER, TODAY)
    assert error.value.code == "same-person"
    assert len(list(desk.folder.glob("*.yaml"))) == 1


def test_what_failed_is_outdated_past_or_unknown_is_not_adopted(desk, tmp_path):
    """A refusal, a past day, an unknown id, a second adoption, and rules that changed meanwhile: nothing comes into force."""
    bad = proposed(desk, tmp_path, ("cap: 1000,", "cap: 999,"))
    good = proposed(desk, tmp_path, WORDS)
    other = proposed(desk, tmp_path, ("What is the PUE", "PUE"))

    def code(name, day=DECEMBER):
        with pytest.raises(DomainError) as error:
            desk.adopt(name, LI, day, TODAY)
        return error.value.code

    assert code(bad["id"]) == "proposal-refused"
    assert code(good["id"], date(2026, 11, 27)) == "effective-day-past"
    assert code("7-r2-00000000") == "proposal-unknown"
    desk.adopt(good["id"], LI, DECEMBER, TODAY)
    assert code(good["id"]) == "proposal-adopted"
    assert code(other["id"]) == "document-malformed"
    with pytest.raises(DomainError, match="there is a proposal"):
        desk.propose(
            read_candidate({"seven.yaml": SMALL}, "new.yaml", (tmp_path / "new.yaml").read_text("utf-8")),
            LI,
            None,
            print,
        )


def test_a_proposal_is_outdated_once_its_base_changed(desk, tmp_path):
    """What was compared is what must be in force when it is adopted."""
    report = proposed(desk, tmp_path, WORDS)
    (desk.folder / "seven.yaml").write_text(SMALL.replace("多少机架", "几个机架"), encoding="utf-8")
    with pytest.raises(DomainError) as error:
        desk.adopt(report["id"], LI, DECEMBER, TODAY)
    assert error.value.code == "proposal-outdated"


def test_rules_that_no_case_watches_are_not_adopted(desk, tmp_path):
    """A new condition without a case for it leaves small wrong changes unnoticed, and that refuses the proposal."""
    guards = (desk.guards / "seven.rows").read_text(encoding="utf-8")
    (desk.guards / "seven.rows").write_text(guards.replace("pue=1.25 -> refused efficient\n", ""), encoding="utf-8")
    report = proposed(desk, tmp_path, WORDS)
    assert "add cases" in report["refusals"][0]["en"]
    assert any("lt" in survivor for survivor in report["checks"]["sharpness"]["survivors"])


def test_cases_change_along_with_the_rules_they_guard(desk, tmp_path):
    """A corrected bound needs corrected cases, which come into use with it; those before are kept beside the proposal."""
    cases = tmp_path / "cases"
    cases.mkdir()
    (cases / "seven.rows").write_text(
        ROWS.replace("1.2499", "1.1999").replace("pue=1.25 ", "pue=1.20 "), encoding="utf-8"
    )
    changes = [('lt: "1.25"', 'lt: "1.20"')]
    refused = proposed(desk, tmp_path, *changes)
    assert refused["checks"]["cases"]["failing"]
    report = proposed(desk, tmp_path, *changes, WORDS, cases=cases)
    assert report["refusals"] == []
    desk.adopt(report["id"], LI, DECEMBER, TODAY)
    assert "1.20" in (desk.guards / "seven.rows").read_text(encoding="utf-8")
    assert (desk.folder / "proposals" / report["id"] / "cases-before" / "seven.rows").read_text("utf-8") == ROWS
