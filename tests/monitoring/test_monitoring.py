"""Rules and dashboards: what promtool says of them, and that they ask for nothing that the metrics page does not have."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest
import yaml

from suanquan import metrics
from suanquan.use_cases.overview import Overview
from tests.shared_data import ROOT

RULES = ROOT / "config/prometheus/suanquan.rules.yml"
BOARDS = ROOT / "config/grafana/dashboards"
OF_PROMETHEUS = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
"""Series that Prometheus itself writes of whatever it asks."""
WORDS = {
    *("sum", "by", "without", "on", "ignoring", "rate", "increase", "changes", "absent", "abs", "time", "or", "and"),
    *("scheme", "state", "centre", "status", "clause", "year", "model", "job", "code"),
}


def promtool(*arguments):
    program = os.environ.get("SUANQUAN_TEST_PROMTOOL") or shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def served():
    """Names of the series on the page."""
    page = metrics.render(Overview([], [], [], {}, SimpleNamespace(size=0)), {}, 0).decode()
    return set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def names_in(query):
    """Series that a query asks for: its words but labels, functions, durations and strings."""
    query = re.sub(r'"[^"]*"', "", query)
    query = re.sub(r"\[[^]]*\]|\{[^}]*\}", "", query)
    return {word for word in re.findall(r"[a-z_][a-z0-9_:]*", query) if word not in WORDS}


def known():
    return served() | OF_PROMETHEUS | {rule["record"] for rule in rules() if "record" in rule}


@pytest.mark.parametrize("name", ["minutes", "days"])
def test_every_rule_does_what_its_test_says(name):
    """`promtool test rules`: alerts fire when they should, and not before."""
    promtool("test", "rules", ROOT / f"tests/monitoring/{name}.test.yml")


def test_promtool_takes_rules_and_configuration():
    """`promtool check rules` and `check config`."""
    promtool("check", "rules", RULES)
    promtool("check", "config", ROOT / "config/prometheus/prometheus.yml")


def test_rules_ask_only_for_what_there_is():
    """Every series in a rule is on the page, of Prometheus, or recorded."""
    for rule in rules():
        assert names_in(rule["expr"]) <= known(), rule


def test_every_alert_says_what_to_do_and_has_a_test():
    """A severity, a sentence and an act in both languages; and each alert fires in a unit test."""
    tested = "".join(path.read_text("utf-8") for path in (ROOT / "tests/monitoring").glob("*.test.yml"))
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 10
    for rule in alerts:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert " / " in rule["annotations"]["summary"], rule
        assert rule["annotations"]["action"], rule
        assert re.search(rf"alertname: {rule['alert']}\n\s+exp_alerts:\n", tested), rule["alert"]


def test_dashboards_are_what_the_tool_writes():
    """The files are generated: editing them by hand would be lost."""
    spec = importlib.util.spec_from_file_location("build_dashboards", ROOT / "tools/build_dashboards.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert {path.stem for path in BOARDS.glob("*.json")} == set(tool.BOARDS) == {"commission", "centre", "operator"}
    for name in tool.BOARDS:
        assert (BOARDS / f"{name}.json").read_text("utf-8") == tool.board(name)


def test_dashboards_show_only_what_there_is():
    """Every query names series that exist, and every series of ours is on some dashboard or in some rule."""
    asked = set()
    for path in BOARDS.glob("*.json"):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                asked |= names_in(target["expr"])
    assert asked <= known()
    assert served() <= asked | {name for rule in rules() for name in names_in(rule["expr"])}


def test_the_compose_file_names_files_that_exist():
    """Everything that is mounted is there; nothing listens beyond loopback."""
    compose = yaml.safe_load((ROOT / "config/prometheus/compose.yml").read_text("utf-8"))
    volumes = compose["volumes"]
    for service in compose["services"].values():
        for mount in service["volumes"]:
            source = mount.partition(":")[0]
            assert source in volumes or (ROOT / "config/prometheus" / source).exists(), source


@pytest.mark.parametrize("unit", ["suanquan", "suanquan-prometheus"])
def test_the_units_are_hardened(unit):
    """`systemd-analyze security` finds an exposure of 1.5 at most."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    file = ROOT / f"config/systemd/{unit}.service"
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-600:]
