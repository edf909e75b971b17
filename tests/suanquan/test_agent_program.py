"""The agent's commands: a report of what was skipped, and the light program against the real service."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

from tests.shared_data import ROOT
from tests.suanquan.command import suanquan
from tests.suanquan.harness import ProcessService

SACCT = """JobIDRaw|Cluster|Account|Start|End|ElapsedRaw|State|AllocTRES
1|sj01|alpha|2026-11-01T00:00:00|2026-11-01T01:00:00|3600|COMPLETED|gres/gpu:a100=2
nonsense
2|sj01|alpha|2026-11-01T00:00:00|2026-11-01T01:00:00|3601|COMPLETED|gres/gpu:a100=2
3|sj01|alpha|None|Unknown|0|PENDING|
"""


def test_skipped_lines_are_told_by_file_line_and_reason(tmp_path):
    """On stderr and, whole, in a file; what simply is no usage is only counted."""
    (tmp_path / "usage.txt").write_text(SACCT, "utf-8")
    options = ("--source", "sacct", "--timezone", "UTC", "--report", "report.jsonl", "--json")
    done = suanquan("agent", "collect", "usage.txt", *options, cwd=tmp_path)
    assert done.status == 0
    assert done.json["skipped"] == {"duration-exceeds-interval": 1, "field-count": 1, "never-started": 1}
    assert "usage.txt:3 field-count" in done.err
    told = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text("utf-8").splitlines()]
    assert [(one["file"], one["line"], one["reason"]) for one in told] == [
        ("usage.txt", 3, "field-count"),
        ("usage.txt", 4, "duration-exceeds-interval"),
    ]


def program(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "metering.agent", *arguments], cwd=ROOT, **options)


def printed(*arguments):
    with program(*arguments, stdout=subprocess.PIPE, text=True) as running:
        return json.loads(running.stdout.read())


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_light_program_reports_and_takes_up_a_new_key(installation, tmp_path):
    """`suanquan-agent run` delivers, is given a new key, goes over to it without a pause, and loses nothing."""
    config, usage = tmp_path / "agent.toml", tmp_path / "usage.txt"
    office = ("--home", installation.home.path, "--json")

    def register(jwk):
        (tmp_path / "agent.jwk").write_text(json.dumps(jwk))
        suanquan("centre", "key", "sj01", tmp_path / "agent.jwk", *office, cwd=tmp_path)

    register(printed("keygen", str(tmp_path / "agent.pem")))
    usage.write_text(SACCT, "utf-8")
    with ProcessService(installation) as service:
        config.write_text(
            f'base_url = "{service.url}"\ncentre = "sj01"\nsource = "urn:centre:sj01:agent:slurm"\n'
            'key_file = "agent.pem"\nspool = "agent.spool"\ninterval_s = 1\n'
            '[collect]\nsource = "sacct"\npaths = ["usage.txt"]\ntimezone = "UTC"\n'
        )
        with program("run", "--config", str(config), stderr=subprocess.PIPE, text=True) as running:
            wait_for((tmp_path / "agent.spool").exists)
            wait_for(lambda: printed("status", "--config", str(config))["sent"] == 1)
            running.send_signal(signal.SIGTERM)
            log = running.stderr.read()
        assert running.returncode == 0
        assert log.count("usage.txt:3 skipped: field-count") == 1
        register(printed("rotate-key", "--config", str(config)))
        row = "4|sj01|alpha|2026-11-02T00:00:00|2026-11-02T01:00:00|3600|COMPLETED|gres/gpu:a100=2\n"
        usage.write_text(SACCT + row, "utf-8")
        with program("run", "--config", str(config), stderr=subprocess.DEVNULL) as running:
            wait_for(lambda: printed("status", "--config", str(config))["sent"] == 2)
            running.send_signal(signal.SIGTERM)
        assert not (tmp_path / "agent.pem.next").exists()
        assert (tmp_path / "agent.pem.old").exists()
        (centre, _) = suanquan("centre", "list", *office, cwd=tmp_path).json
        assert centre["statuses"] == {"accepted": 2}


def test_a_month_is_declared_by_hand(installation, tmp_path):
    """Before the file is sent its month lacks everything, afterwards nothing; the exit status says so to scripts."""
    office = ("--home", installation.home.path, "--json")
    made = suanquan("agent", "keygen", "agent.pem", cwd=tmp_path)
    (tmp_path / "agent.jwk").write_text(made.out)
    suanquan("centre", "key", "sj01", "agent.jwk", *office, cwd=tmp_path)
    (tmp_path / "usage.txt").write_text(SACCT, "utf-8")
    with ProcessService(installation) as service:
        (tmp_path / "agent.toml").write_text(
            f'base_url = "{service.url}"\ncentre = "sj01"\nsource = "urn:centre:sj01:agent:slurm"\n'
            'key_file = "agent.pem"\nspool = "agent.spool"\n'
        )
        file = ("--config", "agent.toml", "usage.txt", "--source", "sacct", "--timezone", "UTC", "--json")
        month = (*file, "--month", "2026-11")
        before = suanquan("agent", "declare", *month, cwd=tmp_path)
        assert before.status == 1, before.err
        assert before.json["accounts"] == [
            {"account": "alpha", "state": "missing", "missing": {"segments": 1, "gpu_ms": "7200000"}}
        ]
        assert suanquan("agent", "send", *file, cwd=tmp_path).status == 0
        after = suanquan("agent", "declare", *month, cwd=tmp_path)
        assert (after.status, after.json["accounts"][0]["state"]) == (0, "complete")
        assert suanquan("agent", "declare", *file, "--month", "2026-13", cwd=tmp_path).status == 2
