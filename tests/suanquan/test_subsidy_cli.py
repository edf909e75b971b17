"""`suanquan subsidy ask`, `what-if`, `simulate`, `propose`: one JSON document on stdout, a person's words on stderr."""

import io
import json

import pytest

from suanquan.cli import main
from tests.shared_data import SHARED, needs_shared
from tests.subsidy.test_proposal import ROWS, SMALL, TEXT, WORDS, changed

PASSES = {
    "company_is_large_model_or_generative_ai_related": True,
    "company_size": "small",
    "has_loan_need": True,
}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a command away from any home, with lines on stdin, and gives exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments, typed=""):
        monkeypatch.setattr("sys.argv", ["suanquan", "subsidy", *arguments])
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return command


def test_ask_gives_the_next_question_and_where_each_clause_stands(run, tmp_path):
    """Facts from a file and from options; the answer names the fact to ask first and every clause's status."""
    (tmp_path / "facts.yaml").write_text("facts:\n  company_size: small\n", encoding="utf-8")
    arguments = (
        "ask",
        "--answers",
        "facts.yaml",
        "--set",
        "has_loan_need=true",
        "--clause",
        "323:(七)",
        "--on",
        "2025-09-01",
    )
    status, out, err = run(*arguments, "--json")
    answer = json.loads(out)
    assert (status, err) == (0, "")
    assert answer["next"]["fact"] == "company_is_large_model_or_generative_ai_related"
    assert answer["next"]["clauses"] == ["323:(七)"]
    assert [(clause["clause"], clause["status"]) for clause in answer["clauses"]] == [("323:(七)", "need_more_info")]
    assert [path.name for path in tmp_path.iterdir()] == ["facts.yaml"]


def test_ask_converses_until_nothing_can_change(run, tmp_path):
    """A word that is no answer is asked again, an empty line is not known; what was answered can be kept and goes on later."""
    typed = "\ntrue\n"
    status, out, err = run(
        "ask", "--clause", "323:(七)", "--on", "2025-09-01", "--save", "mine.json", typed="maybe\ntrue\nsmall\n\n"
    )
    assert status == 0
    assert "must be true or false, not 'maybe'" in err
    assert "待补事实 needs more，还缺 missing: has_loan_need" in out
    kept = json.loads((tmp_path / "mine.json").read_text("utf-8"))["facts"]
    assert kept["company_size"] == "small"
    status, out, err = run("ask", "--answers", "mine.json", "--clause", "323:(七)", "--on", "2025-09-01", typed=typed)
    assert "needs more" in out
    assert err.count("?") == 1
    status, out, _ = run("ask", "--answers", "mine.json", "--clause", "323:(七)", "--on", "2025-09-01", typed="true\n")
    assert (status, out.strip()) == (0, "323:(七) 完善科创金融服务: 可申请 eligible，需人工 person")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["ask", "--set", "peu=1.2", "--json"], 2, "did you mean `pue`?"),
        (["ask", "--set", "pue=1,2", "--json"], 2, "must be a decimal such as 0.10"),
        (["ask", "--set", "pue", "--json"], 2, "write NAME=VALUE"),
        (["ask", "--on", "2025-9-1", "--json"], 2, "write the day as 2025-09-26"),
        (["ask", "--clause", "323:(十)", "--json"], 3, "there is no clause 323:(十)"),
        (["ask", "--answers", "facts.yaml", "--json"], 2, "facts.yaml:2: "),
        (["ask", "--answers", "nowhere.yaml", "--json"], 3, "nowhere.yaml"),
        (["what-if", "--reading", "A20=maybe", "--json"], 2, "A20 is read as one of"),
        (["simulate", "nowhere.csv"], 3, "nowhere.csv"),
        (["propose", "facts.yaml", "--as", "x"], 3, "no suanquan home"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_to_write(run, tmp_path, arguments, status, words):
    """Facts, days, clauses, readings, files: each refusal has its exit status and advice on stderr."""
    (tmp_path / "facts.yaml").write_text("facts:\n  pue: 1.2\n", encoding="utf-8")
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert words in err


def facts_file(tmp_path, **facts):
    path = tmp_path / "facts.json"
    path.write_text(json.dumps({"facts": facts}), encoding="utf-8")
    return str(path)


def test_what_if_compares_by_condition(run, tmp_path):
    """Another fact turns one condition; the words of the text stand beside it."""
    arguments = (
        "what-if",
        "--answers",
        facts_file(tmp_path, **PASSES),
        "--on",
        "2025-09-01",
        "--change",
        "company_size=large",
    )
    status, out, _ = run(*arguments, "--json")
    (changed,) = json.loads(out)["changed"]
    assert (status, changed["clause"]) == (0, "323:(七)")
    assert (changed["before"]["status"], changed["after"]["status"]) == ("eligible", "not_eligible")
    assert changed["conditions"] == [
        {
            "document": "323", "condition": "small_or_medium", "before": "met", "after": "failed",
            "quote": "符合条件的中小微企业", "line": 95,
        }
    ]  # fmt: skip
    assert "323 small_or_medium: met → failed（“符合条件的中小微企业”第 95 行）" in run(*arguments)[1]


def test_what_if_takes_another_day_document_or_reading(run, tmp_path):
    """The end of the implementing rules closes a clause; another document or reading changes a figure; the same changes nothing."""
    facts = facts_file(tmp_path, solution_formed=True, commercial_case_formed=True)
    base = ("what-if", "--answers", facts, "--on", "2025-09-01", "--json")
    later = json.loads(run(*base, "--to-day", "2026-11-22", "--clause", "323:(四)1")[1])["changed"]
    assert [(item["before"]["status"], item["after"]["status"]) for item in later] == [("need_more_info", "not_open")]
    (tmp_path / "new.yaml").write_text(changed(('lt: "1.25"', 'lt: "1.24"')), encoding="utf-8")
    pue = (*base, "--set", "pue=1.2499", "--clause", "323:(一)1")
    (item,) = json.loads(run(*pue, "--document", "new.yaml")[1])["changed"]
    assert item["after"]["reasons"] == ["pue_below"]
    model = (*base, "--set", "industries_covered=1", "--clause", "323:(四)2")
    (item,) = json.loads(run(*model, "--reading", "A23=it fails")[1])["changed"]
    assert [condition["condition"] for condition in item["conditions"]] == ["several_industries"]
    assert json.loads(run(*base)[1])["changed"] == []


TABLE = """\
applicant,date,company_is_large_model_or_generative_ai_related,recognised_technology_centre_levels,levels_already_rewarded,project_received_national_or_municipal_support,project_district_matching_funds_paid,project_supported_under_other_industrial_policy
a,2025-09-01,true,municipal,-,false,false,false
b,2025-09-01,true,district,-,false,false,
c,2025-09-01,yes,district,-,false,false,false
d,2026-01-05,true,national;municipal,-,false,false,false
"""


def test_simulate_adds_up_exactly_and_reports_bad_rows(run, tmp_path):
    """Low is what is sure, high what a person or a fact may bring; a bad row is named, left out, and makes the status 1."""
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8")
    status, out, err = run("simulate", "table.csv", "--clause", "323:(六)2", "--json")
    result = json.loads(out)
    assert (status, result["applicants"], result["bad_rows"]) == (1, 3, 1)
    first, second = result["by_clause"]
    assert (first["year"], first["low_yuan"], first["high_yuan"]) == (2025, "600000.00", "800000.00")
    assert (second["year"], second["low_yuan"], second["high_yuan"]) == (2026, "0.00", "2000000.00")
    assert second["open_questions"] == {"several_titles": 1}
    assert [(row["department"], row["year"]) for row in result["by_department"]] == [("区经委", 2025), ("区经委", 2026)]
    assert result["errors"][0]["where"] == "table.csv:4"
    assert "must be true or false, not 'yes'" in err
    assert "\r" not in err
    assert "2026 合计 total: 0.00 – 2000000.00 元" in run("simulate", "table.csv", "--clause", "323:(六)2")[1]
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_simulation_is_priced_under_another_reading(run, tmp_path):
    """The price tag of an ambiguity: the whole reward instead of the difference."""
    (tmp_path / "table.csv").write_text(TABLE.replace("national;municipal,-", "national,municipal"), encoding="utf-8")
    arguments = ("simulate", "table.csv", "--clause", "323:(六)2", "--json")
    taken, other = (json.loads(run(*arguments, *more)[1]) for more in ((), ("--reading", "A16=full")))
    assert taken["by_clause"][1]["high_yuan"] == "1400000.00"
    assert other["by_clause"][1]["low_yuan"] == "2000000.00"


def test_a_table_that_is_not_utf8_is_refused(run, tmp_path):
    """A table saved in another encoding would turn words into others."""
    (tmp_path / "table.csv").write_bytes("applicant,date,pue\n甲,2025-09-01,1.2\n".encode("gbk"))
    status, _, err = run("simulate", "table.csv")
    assert status == 2
    assert "save it as CSV UTF-8" in err


@needs_shared
def test_check_keeps_official_texts_in_the_home(run, tmp_path, template):
    """A text that agrees is kept on request, and later checks read it there; readings are listed with what they switch."""
    home = str(template.copy_to(tmp_path / "home").home.path)
    texts = [word for name in ("323-2024.txt", "16-2025.txt") for word in ("--text", str(SHARED / "policy" / name))]
    assert json.loads(run("check", "--home", home, "--json")[1])["texts"] == []
    assert run("check", "--keep", *texts, "--home", home)[0] == 0
    result = json.loads(run("check", "--home", home, "--json")[1])
    assert [(text["document"], text["agrees"]) for text in result["texts"]] == [("16", True), ("323", True)]
    assert {"A20", "A21"} <= {reading["id"] for reading in result["readings"] if reading["switches"]}


def test_two_people_change_the_rules(run, tmp_path, template):
    """Proposed by one and adopted by another; the same person is not allowed, and the list says who did what."""
    home = template.copy_to(tmp_path / "home").home
    folder = home.config / "policies"
    for path in (*folder.glob("*.yaml"), *folder.glob("cases/*"), *(home.config / "procedures").glob("*.yaml")):
        path.unlink()
    (folder / "seven.yaml").write_text(SMALL, encoding="utf-8")
    (folder / "cases" / "seven.rows").write_text(ROWS, encoding="utf-8")
    (tmp_path / "seven.txt").write_bytes(TEXT)
    where = ("--home", str(home.path), "--json")
    assert run("check", "--keep", "--text", "seven.txt", *where)[0] == 0
    (tmp_path / "new.yaml").write_text(SMALL.replace("revision: 1", "revision: 2").replace(*WORDS), encoding="utf-8")
    (tmp_path / "past.csv").write_text("date,pue,racks,titles\n2026-06-01,1.2,4000,gold\n", encoding="utf-8")
    status, out, _ = run("propose", "new.yaml", "--as", "张三", "--applications", "past.csv", *where)
    report = json.loads(out)
    assert (status, report["refusals"], report["money"]) == (0, [], [])
    assert run("adopt", report["id"], "--as", "张三", "--effective", "2099-12-01", *where)[0] == 5
    assert run("adopt", report["id"], "--as", "李四", "--effective", "2020-12-01", *where)[0] == 2
    assert run("adopt", report["id"], "--as", "李四", "--effective", "2099-12-01", *where)[0] == 0
    (listed,) = json.loads(run("proposals", *where)[1])
    assert listed["adopted"]["effective_from"] == "2099-12-01"
