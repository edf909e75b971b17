"""Schemes on the command line and over HTTP: lists, cases, quotes, and errors that say where."""

import json
import re

import pytest

from suanquan.cli import main
from tests.shared_data import ROOT, SHARED, needs_shared
from tests.suanquan.harness import assert_problem, request
from tests.voucher.claims import bill, facts
from voucher import scheme_schema
from voucher.findings import CHECKS
from voucher.lifecycle import STEPS

JSON = {"content-type": "application/json"}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a command away from any home and gives exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["suanquan", "scheme", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return command


def case(**changes):
    return {"id": "a", "scheme": "cn-bj-ai-compute-2023", "date": "2024-03-01", "facts": facts(**changes)}


def write_cases(folder, *cases):
    (folder / "cases.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")


def test_list_and_show_need_no_home(run, tmp_path):
    """The shipped schemes with their status; one of them with what it leaves unknown, in words."""
    status, out, _ = run("list", "--json")
    assert status == 0
    assert {"id", "status", "name"} <= set(json.loads(out)[0])
    status, out, _ = run("show", "cn-sh-songjiang-2024", "--json")
    shown = json.loads(out)
    assert (status, shown["status"], shown["units"]) == (0, "draft", {})
    assert shown["unknown_means"]["ratio"] == "补贴比例 the share of the base"
    assert shown["versions"] == [{"version": "2024", "status": "draft", "from": "2024-10-01", "to": "2027-09-30"}]
    assert run("show", "cn-nowhere")[0] == 3
    assert list(tmp_path.iterdir()) == []


@needs_shared
def test_decide_answers_the_cases_of_six_cities(run):
    """One object per case with the members that scripts read, and every figure with its steps."""
    status, out, err = run("decide", "--cases", str(SHARED / "cases/schemes.yaml"), "--json")
    answers = json.loads(out)
    assert (status, err) == (0, "")
    assert len(answers) >= 14
    members = {"id", "status", "amount_yuan", "limits", "failed", "payable", "unknown", "steps", "version", "digest"}
    assert all(members <= set(answer) for answer in answers)
    assert all(answer["steps"] for answer in answers if answer["amount_yuan"] is not None)


def test_decide_prints_a_line_per_case(run, tmp_path):
    """Amount, what bound it, and how it came about."""
    write_cases(tmp_path, case(cost_items=bill("15000000")), case(provider__admitted=False) | {"id": "b"})
    _, out, _ = run("decide", "--cases", "cases.json")
    first, second = out.splitlines()
    assert first.startswith("a: eligible 2000000 元 yuan (cap_beneficiary_year)")
    assert "补贴比例 20%" in first
    assert second == "b: not_eligible (provider.admitted)"


def test_faults_of_cases_are_told_and_do_not_stop_others(run, tmp_path):
    """A mistyped amount and an unknown scheme get no decision and exit 1; a fact that no rule reads is only mentioned."""
    write_cases(tmp_path, case(cost_items=bill("1e6")), case() | {"scheme": "cn-bj"}, case(colour="red"))
    status, out, err = run("decide", "--cases", "cases.json", "--json")
    assert status == 1
    assert [answer["status"] for answer in json.loads(out)] == [None, None, "eligible"]
    assert re.search(r"cases\.json:[0-9]+.*amount|cases\.json:[0-9]+.*decimal", err)
    assert "there is no scheme cn-bj" in err
    assert "colour" in err
    write_cases(tmp_path, case(colour="red"))
    assert run("decide", "--cases", "cases.json")[0] == 0


def test_check_names_every_fault_with_its_line(run, tmp_path):
    """A wrong file ends with status 2 and one line per fault."""
    text = (ROOT / "config/schemes/nanning-2025.toml").read_text("utf-8")
    (tmp_path / "city.toml").write_text(text.replace('"30"', "30.0").replace("= 100 ", "= 100.5 "), "utf-8")
    status, out, err = run("check", "city.toml")
    assert (status, out) == (2, "")
    assert err.count("city.toml:") >= 2
    (tmp_path / "city.toml").write_text(text, "utf-8")
    assert run("check", "city.toml")[0] == 0
    status, out, _ = run("check", "--json")
    assert (status, len(json.loads(out))) == (0, 7)


def test_a_quote_is_public_and_explained(service):
    """The same function over HTTP, without a token: figure, limits, steps with sources, version and digest."""
    body = json.dumps({"date": "2024-03-01", "facts": facts(cost_items=bill("15000000"))}).encode()
    answer = request(service.url, "POST", "/v1/schemes/cn-bj-ai-compute-2023/quote", body, JSON)
    quoted = answer.content
    assert (answer.status, quoted["amount_yuan"], quoted["limits"]) == (200, "2000000", ["cap_beneficiary_year"])
    assert all(step["source"] for step in quoted["steps"])
    shown = request(service.url, "GET", "/v1/schemes/cn-bj-ai-compute-2023").content
    assert shown["digest"] == quoted["digest"]


def test_a_quote_refuses_what_it_cannot_use_by_pointer(service):
    """Unknown facts, floats and unknown schemes are problems, each with a pointer."""
    path = "/v1/schemes/cn-bj-ai-compute-2023/quote"
    for changes, pointer in (({"colour": "red"}, "/facts/colour"), ({"cost_items": bill(1.5)}, "/facts/cost_items/0")):
        body = json.dumps({"date": "2024-03-01", "facts": facts(**changes)}).encode()
        answer = request(service.url, "POST", path, body, JSON)
        assert_problem(answer, 422, "facts-invalid")
        assert [fault["pointer"] for fault in answer.content["errors"]] == [pointer]
    sound = json.dumps({"date": "2024-03-01", "facts": {}}).encode()
    assert_problem(request(service.url, "POST", "/v1/schemes/nowhere/quote", sound, JSON), 404, "scheme-unknown")
    assert_problem(request(service.url, "POST", path, b'{"facts": {}}', JSON), 422, "request-invalid")


def test_the_page_on_schemes_names_everything():
    """Each parameter, place and rule of scheme files stands in docs/schemes.md."""
    page = (ROOT / "docs/schemes.md").read_text("utf-8")
    for name, parameter in scheme_schema.PARAMETERS.items():
        assert f"`{name}`" in page, name
        for place in parameter.places:
            assert f"`{place}`" in page or f"[[version.{place}]]" in page, place
    sources = "".join((ROOT / f"voucher/{name}.py").read_text("utf-8") for name in ("scheme_reader", "scheme_check"))
    assert all(f"\n| {name} | {check.zh}" in page for name, check in CHECKS.items() if name.startswith("A"))
    assert all(f"\n| `{mode}` |" in page for mode in STEPS)
    codes = set(re.findall(r'"(scheme-[a-z-]+)"', sources)) - {"scheme-invalid"}
    assert codes == set(re.findall(r"`(scheme-[a-z-]+)`", page))
