"""`suanquan subsidy`: one JSON document on stdout, reasons for refusal on stderr, exit status by kind of error."""

import json

import pytest

from suanquan.cli import main
from tests.shared_data import SHARED, needs_shared

CASES = """\
cases:
  - {id: small, clause: 323:(七), date: '2025-09-01', facts: {company_is_large_model_or_generative_ai_related: true, company_size: small, has_loan_need: true}}
  - {id: large, clause: 323:(五), date: '2025-09-01', facts: {solution_formed: false}}
"""


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a command away from any home and gives exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["suanquan", "subsidy", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return command


def test_evaluate_answers_each_case(run, tmp_path):
    """A file of cases gives one answer per case, and nothing is left in the folder."""
    (tmp_path / "cases.yaml").write_text(CASES, encoding="utf-8")
    status, out, err = run("evaluate", "--cases", "cases.yaml", "--json")
    small, large = json.loads(out)
    assert (status, err) == (0, "")
    assert (small["status"], small["amount_kind"], small["needs_human"]) == ("eligible", "non_monetary", True)
    assert (large["status"], large["reasons"]) == ("not_eligible", ["solution"])
    assert "small: eligible 需人工 person (human:terms_in_other_policy)" in run("evaluate", "--cases", "cases.yaml")[1]
    assert [path.name for path in tmp_path.iterdir()] == ["cases.yaml"]


def test_a_wrong_fact_gives_exit_1_and_its_line(run, tmp_path):
    """The case with a wrong fact is named on stderr; the other case is answered all the same."""
    (tmp_path / "cases.yaml").write_text(CASES.replace("company_size", "company_sise"), encoding="utf-8")
    status, out, err = run("evaluate", "--cases", "cases.yaml", "--json")
    small, large = json.loads(out)
    assert status == 1
    assert (small["status"], large["status"]) == (None, "not_eligible")
    assert "cases.yaml:2: " in err
    assert "did you mean `company_size`?" in err
    assert "small: 有误 error" in run("evaluate", "--cases", "cases.yaml")[1]


@needs_shared
def test_evaluate_writes_every_member_of_the_acceptance_form(run):
    """The members that scripts rely on are there for each case, and the exit status is 0."""
    status, out, err = run("evaluate", "--cases", str(SHARED / "cases" / "clauses.yaml"), "--json")
    assert (status, err) == (0, "")
    assert set(json.loads(out)[0]) == {
        "id", "status", "eligible", "amount_yuan", "amount_kind", "amount_fen", "amount_range_yuan", "cap_yuan", "cap_hit",
        "needs_human", "missing_facts", "reasons", "explanation",
    }  # fmt: skip


def test_publicity_answers_or_leaves_it_to_a_person(run):
    """A known year gives both days; an unknown one gives none and says why on stderr."""
    known = {"last_publicity_day": "2025-10-10", "earliest_next_step": "2025-10-11", "needs_human": False}
    assert json.loads(run("publicity", "--posted-on", "2025-09-26", "--json")[1]) == known
    status, out, err = run("publicity", "--posted-on", "2026-12-28", "--json")
    assert json.loads(out) == {"last_publicity_day": None, "earliest_next_step": None, "needs_human": True}
    assert status == 0
    assert "a person must decide" in err
    assert "2025-10-10" in run("publicity", "--posted-on", "2025-09-26")[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["publicity", "--posted-on", "2025-9-1"], 2),
        (["publicity", "--posted-on", "2025-09-01", "--working-days", "0"], 2),
        (["evaluate", "--cases", "nowhere.yaml"], 3),
        (["check", "--text", "nowhere.txt"], 3),
        (["check", "--text", __file__], 3),
        (["check", "--text", __file__, "--document", "16"], 1),
        (["check"], 0),
    ],
)
def test_exit_status_tells_what_went_wrong(run, arguments, expected):
    """What cannot be used is 2, what is not found 3, a text that differs 1; each says so on stderr."""
    status, _, err = run(*arguments)
    assert status == expected
    assert (err == "") is (expected == 0)


@needs_shared
def test_check_compares_quotes_with_the_texts_given(run):
    """Both source texts agree with the rules."""
    texts = [str(SHARED / "policy" / name) for name in ("323-2024.txt", "16-2025.txt")]
    status, out, _ = run("check", "--text", texts[0], "--text", texts[1], "--json")
    assert status == 0
    assert [(text["document"], text["agrees"]) for text in json.loads(out)["texts"]] == [("323", True), ("16", True)]


def test_a_home_with_its_own_policies_is_asked_first(run, tmp_path):
    """An operator's reviewed copy in the home replaces the one that ships; an empty one is a fault, not a fallback."""
    (tmp_path / "home" / "config" / "policies").mkdir(parents=True)
    status, _, err = run("check", "--home", str(tmp_path / "home"))
    assert status == 2
    assert "no policy documents" in err


def test_a_file_that_is_not_utf8_is_refused(run, tmp_path):
    """Bytes that are no UTF-8 text are named as such."""
    (tmp_path / "cases.yaml").write_bytes("案例".encode("gbk"))
    status, _, err = run("evaluate", "--cases", "cases.yaml")
    assert status == 2
    assert "not UTF-8" in err
