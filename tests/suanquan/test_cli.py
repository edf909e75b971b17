"""The command line: what each command prints, how it ends, and that nothing it is given makes it fall over."""

import json
import re
import subprocess
import sys
from collections import Counter

import pytest
import typer

from suanquan.cli.app import app
from tests.shared_data import ROOT, SHARED, needs_shared
from tests.suanquan.command import HOLDER, SCHEME, Command, suanquan, write_passphrase
from tests.suanquan.harness import ProcessService
from tests.tampering import altered

CHINESE = re.compile(r"[\u4e00-\u9fff]")
SLURM = SHARED / "traces" / "slurm-live"
WHOLE_FORMS = (
    *("alloc.json", "alloc_dup.txt", "alloc_dup_epoch.txt", "alloc_dup_shanghai.txt", "alloc_dup_trailing.txt"),
    *("alloc_dup_x1f.txt", "alloc_nodup.txt", "steps_dup.txt"),
)
PARTIAL_FORMS = {
    "alloc_epoch.txt": "Account",
    "alloc_noconvert_trailing.txt": "ElapsedRaw",
    "alloc_shanghai.txt": "State",
}
COMMANDS = {
    *("init", "serve", "doctor", "demo", "scheme list", "scheme show", "scheme check", "voucher issue", "voucher show"),
    *("voucher list", "voucher verify", "keys list", "keys jwks", "centre add", "centre key", "centre bind"),
    *("centre list", "agent collect", "agent keygen", "agent send", "agent run", "agent status", "ledger verify"),
    *("ledger head", "db upgrade", "subsidy evaluate", "subsidy publicity", "subsidy check", "bench ingest"),
    *("bench start", "keys decisions", "subsidy decide", "subsidy decision", "subsidy letter", "subsidy replay"),
    "subsidy verify-letter",
}


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


@pytest.fixture
def home(installation, tmp_path):
    """Options of a home with keys that may sign."""
    return ("--home", installation.home.path, "--passphrase-file", installation.passphrase_file)


@pytest.fixture
def issued(home, tmp_path):
    done = suanquan(
        "voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--amount", "100", "--json", *home, cwd=tmp_path
    )
    assert done.status == 0, done.err
    return done.json


def test_every_command_explains_itself():
    """Each command is listed with help in Chinese and English, and so is each of its options."""
    found = dict(commands(typer.main.get_command(app)))
    assert set(found) >= COMMANDS
    for name, command in found.items():
        assert command.help, name
        for option in command.params:
            assert getattr(option, "help", None), f"{name} {option.name}"


def test_help_is_asked_for_and_shown(tmp_path):
    """`--help` of a command names its options and ends well."""
    done = suanquan("voucher", "issue", "--help", cwd=tmp_path)
    assert done.status == 0
    assert "--holder" in done.out


def test_the_module_runs_as_a_program(tmp_path):
    """`python -m suanquan` is the same command line."""
    command = [sys.executable, "-m", "suanquan", "scheme", "list", "--json"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=True)
    assert SCHEME in [scheme["id"] for scheme in json.loads(done.stdout)]
    assert done.stderr == ""


def test_a_home_is_made_once(tmp_path):
    """`init` makes a home for its owner's eyes with a token; a second one is refused and changes nothing."""
    arguments = ("init", "--home", "home", "--sandbox", "--passphrase-file", write_passphrase(tmp_path), "--json")
    done = suanquan(*arguments, cwd=tmp_path)
    assert done.status == 0, done.err
    assert set(done.json) == {"home", "token", "account", "secret"}
    assert done.json["token"].startswith("sqt_")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "home").rglob("*")}
    again = suanquan(*arguments, cwd=tmp_path)
    assert (again.status, again.out) == (4, "")
    assert "home-exists" in again.err
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "home").rglob("*")}


def test_issue_prints_the_voucher_with_its_tokens(issued, home, tmp_path):
    """The JSON has the id, both tokens and the ledger event; `show` and `list` say the same."""
    assert {"jti", "token", "cwt", "event_id"} <= issued.keys()
    assert issued["cwt"].startswith("SQ1:")
    assert (issued["issued"], issued["available"], issued["redeemed"]) == ("100.000000", "100.000000", "0.000000")
    shown = suanquan("voucher", "show", issued["jti"], "--json", *home[:2], cwd=tmp_path).json
    assert shown == issued
    listed = suanquan("voucher", "list", "--json", *home[:2], cwd=tmp_path).json
    assert listed == [{name: value for name, value in issued.items() if name not in {"token", "cwt"}}]


def test_the_same_key_gives_the_same_voucher(home, tmp_path):
    """A retry under one idempotency key issues nothing twice; other content under it is a conflict."""
    arguments = ("voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--idempotency-key", "k1", *home, "--json")
    first, again = (suanquan(*arguments, "--amount", "2", cwd=tmp_path) for _ in range(2))
    assert first.json == again.json
    other = suanquan(*arguments, "--amount", "3", cwd=tmp_path)
    assert (other.status, other.out) == (4, "")
    assert "idempotency-key-reused" in other.err


def test_vouchers_are_verified_without_a_home(issued, home, tmp_path):
    """The JWT and the QR text hold under the published keys alone; a changed token ends with status 8."""
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "jwks.json").write_text(suanquan("keys", "jwks", *home[:2], cwd=tmp_path).out)
    trust = ("--jwks", "../jwks.json", "--issuer", "urn:suanquan:sandbox", "--json")
    for token in (issued["token"], issued["cwt"]):
        found = suanquan("voucher", "verify", token, *trust, cwd=empty).json
        assert (found["valid"], found["jti"], found["amount"], found["holder"]) == (
            True,
            issued["jti"],
            "100.000000",
            HOLDER,
        )
    for token in (altered(issued["token"]), altered(issued["cwt"]), "nonsense", ""):
        done = suanquan("voucher", "verify", token, *trust, cwd=empty)
        assert (done.status, done.out) == (8, ""), token
    assert list(empty.iterdir()) == []


@needs_shared
@pytest.mark.parametrize("name", WHOLE_FORMS)
def test_collect_meets_the_ground_truth_in_every_form(name, tmp_path):
    """Whatever form `sacct` was printed in, the totals are those of the accounting, to the GPU-millisecond."""
    truth = json.loads((SLURM / "ground_truth.json").read_text())
    zone = "Asia/Shanghai" if "shanghai" in name else "UTC"
    found = suanquan(
        "agent", "collect", SLURM / name, "--source", "sacct", "--timezone", zone, "--json", cwd=tmp_path
    ).json
    assert found["gpu_ms"] == truth["total"] * 1000
    assert found["by_model"] == {model: seconds * 1000 for model, seconds in truth["gpu_seconds_by_model"].items()}
    by_account = Counter()
    for key, seconds in truth["gpu_seconds_by_account_model"].items():
        by_account[key.split("/")[0]] += seconds * 1000
    assert found["by_account"] == by_account
    assert found["skipped"]["never-started"] == 1
    assert set(found) == {"records", "gpu_ms", "by_account", "by_model", "by_month", "skipped", "first", "last"}
    assert list(tmp_path.iterdir()) == []


@needs_shared
@pytest.mark.parametrize("name", PARTIAL_FORMS)
def test_collect_refuses_a_file_that_lacks_a_column(name, tmp_path):
    """The missing column is named, and how to get it."""
    done = suanquan("agent", "collect", SLURM / name, "--source", "sacct", "--timezone", "UTC", cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert f"column {PARTIAL_FORMS[name]} is missing" in done.err
    assert "sacct -a -D -X -P --format=" in done.err


@pytest.fixture
def usage_file(tmp_path):
    file = tmp_path / "jobs.csv"
    file.write_text("when,secs,cards,who\n2026-11-01T00:00:00Z,3600,2,alpha\n2026-11-01T01:00:00Z,60,1,beta\n")
    return file


MAPPED = [f"--map={name}" for name in ("start=when", "duration=secs", "gpus=cards", "account=who")]


def test_an_agent_works_from_keygen_to_receipt(installation, usage_file, tmp_path):
    """Key, registration, binding, sending, status: what the centre sent is paid by the voucher; sent again, nothing changes."""
    agent = tmp_path / "agent"
    agent.mkdir()
    made = suanquan("agent", "keygen", "agent.pem", cwd=agent)
    (agent / "agent.jwk").write_text(made.out)
    office = ("--home", installation.home.path, "--json")
    key = suanquan("centre", "key", "sj01", agent / "agent.jwk", *office, cwd=tmp_path)
    assert key.json == {"centre": "sj01", "kid": made.json["kid"]}
    assert suanquan("centre", "bind", "sj01", "alpha", HOLDER, *office, cwd=tmp_path).status == 0
    signing = (*office, "--passphrase-file", installation.passphrase_file)
    suanquan("voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--amount", "10", *signing, cwd=tmp_path)
    with ProcessService(installation) as service:
        (agent / "agent.toml").write_text(
            f'base_url = "{service.url}"\ncentre = "sj01"\nsource = "urn:centre:sj01:agent:csv"\n'
            'key_file = "agent.pem"\nspool = "agent.spool"\n'
        )
        arguments = (
            "agent",
            "send",
            "--config",
            agent / "agent.toml",
            usage_file,
            "--source",
            "csv",
            *MAPPED,
            "--json",
        )
        sent, again = (suanquan(*arguments, "--set", "model=A100", cwd=tmp_path) for _ in range(2))
        assert (sent.status, sent.json) == (0, {"spooled": 2, "unsent": 0, "parked": 0, "not_accepted": {}}), sent.err
        assert again.json["spooled"] == 0
        status = suanquan("agent", "status", "--config", agent / "agent.toml", "--json", cwd=tmp_path).json
        assert (status["sent"], status["unsent"]) == (2, 0)
        assert status["last_receipt"].count(".") == 2
        assert suanquan("ledger", "verify", *office, cwd=tmp_path).json["usage_records"] == 2
    (voucher,) = suanquan("voucher", "list", *office, cwd=tmp_path).json
    assert (voucher["redeemed"], voucher["available"]) == ("10.000000", "0.000000")
    (centre, _) = suanquan("centre", "list", *office, cwd=tmp_path).json
    assert (centre["id"], centre["gpu_ms"], centre["statuses"]) == ("sj01", {"A100": 7_260_000}, {"accepted": 2})


def test_the_agent_collects_until_it_is_stopped(installation, usage_file, tmp_path):
    """`agent run` reads the files of its configuration and ends at Ctrl-C; the service keeps its books closed and whole."""
    made = suanquan("agent", "keygen", "agent.pem", cwd=tmp_path)
    (tmp_path / "agent.jwk").write_text(made.out)
    office = ("--home", installation.home.path, "--json")
    suanquan("centre", "key", "sj01", "agent.jwk", *office, cwd=tmp_path)
    with ProcessService(installation) as service:
        (tmp_path / "agent.toml").write_text(
            f'base_url = "{service.url}"\ncentre = "sj01"\nsource = "urn:centre:sj01:agent:csv"\n'
            'key_file = "agent.pem"\nspool = "agent.spool"\n'
            f'[collect]\nsource = "csv"\npaths = ["{usage_file}"]\nset = {{ model = "A100" }}\n'
            'map = { start = "when", duration = "secs", gpus = "cards", account = "who" }\n'
        )
        running = Command("agent", "run", "--config", "agent.toml", cwd=tmp_path)
        for _ in range(200):
            (centre, _) = suanquan("centre", "list", *office, cwd=tmp_path).json
            if centre["statuses"]:
                break
        running.interrupt()
        assert running.done().status == 0
        assert centre["statuses"] == {"accepted": 2}
        assert service.stop() == 0
    assert not list(installation.home.path.glob("*.db-wal"))


ISSUE = ("voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--amount")
BAD = [
    (2, "", ["nonsense"]),
    (2, "", ["voucher", "issue"]),
    (2, "", ["serve", "--port", "99999"]),
    (2, "passphrase-missing", ["init", "--home", "new"]),
    (2, "passphrase-unreadable", ["init", "--home", "new", "--passphrase-file", "absent"]),
    (2, "passphrase-exposed", ["init", "--home", "new", "--passphrase-file", "open-passphrase"]),
    (2, "passphrase-short", ["init", "--home", "new", "--passphrase-file", "short-passphrase"]),
    (2, "settings-invalid", ["init", "--home", "new", "--passphrase-file", "passphrase", "--issuer", "me"]),
    (2, "system-error", ["init", "--home", "a-file", "--passphrase-file", "passphrase"]),
    (5, "key-unreadable", ["serve", "HOME", "--passphrase-file", "passphrase"]),
    *[
        (3, "home-missing", [*words, "--home", "absent"])
        for words in (["serve"], ["voucher", "list"], ["keys", "jwks"], ["ledger", "verify"], ["db", "upgrade"])
    ],
    (3, "voucher-unknown", ["voucher", "show", "nobody", "HOME"]),
    (3, "keys-missing", ["voucher", "verify", "x", "--home", "absent"]),
    (2, "issuer-missing", ["voucher", "verify", "x", "--jwks", "a-file"]),
    (3, "system-error", ["voucher", "verify", "x", "--jwks", "absent", "--issuer", "urn:x:y"]),
    (2, "jwk-invalid", ["voucher", "verify", "x", "--jwks", "a-file", "--issuer", "urn:x:y"]),
    (3, "scheme-unknown", ["voucher", "issue", "--scheme", "none", "--holder", HOLDER, "--amount", "1", "SIGN"]),
    (2, "issue-refused", ["voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER[:-1] + "1", "--amount", "1", "SIGN"]),
    *[(2, "issue-refused", [*ISSUE, amount, "SIGN"]) for amount in ("-5", "0", "1e5", "NaN", "1,000", "５", "0.0000001", "9" * 23)],
    (2, "issue-refused", [*ISSUE, "1", "--unit", "USD", "SIGN"]),
    (2, "issue-refused", [*ISSUE, "1", "--holder-key", '{"kty":"EC"}', "SIGN"]),
    (2, "", [*ISSUE, "1", "--holder-key", "absent", "SIGN"]),
    (3, "scheme-unknown", ["scheme", "show", "none"]),
    (3, "system-error", ["scheme", "check", "absent"]),
    (2, "scheme-invalid", ["scheme", "check", "a-file"]),
    (2, "centre-id-invalid", ["centre", "add", "SJ 01", "--name", "x", "HOME"]),
    (2, "text-invalid", ["centre", "add", "sj03", "--name", "", "HOME"]),
    (2, "", ["centre", "add", "sj03", "--name", "x", "--capacity", "A100", "HOME"]),
    (2, "capacity-invalid", ["centre", "add", "sj03", "--name", "x", "--capacity", "A100=" + "9" * 20, "HOME"]),
    (3, "model-unknown", ["centre", "add", "sj03", "--name", "x", "--capacity", "H9000=1", "HOME"]),
    (3, "centre-unknown", ["centre", "key", "sj09", "public.jwk", "HOME"]),
    (3, "system-error", ["centre", "key", "sj01", "absent", "HOME"]),
    (2, "jwk-invalid", ["centre", "key", "sj01", "a-file", "HOME"]),
    (2, "uscc-", ["centre", "bind", "sj01", "alpha", "91350100M000100Y44", "HOME"]),
    (2, "text-invalid", ["centre", "bind", "sj01", "", HOLDER, "HOME"]),
    (3, "centre-unknown", ["centre", "bind", "sj09", "alpha", HOLDER, "HOME"]),
    (4, "agent-key-exists", ["agent", "keygen", "a-file"]),
    (2, "agent-key-unwritable", ["agent", "keygen", "absent/agent.pem"]),
    (3, "agent-config-unreadable", ["agent", "status", "--config", "absent"]),
    (2, "agent-config-malformed", ["agent", "status", "--config", "a-file"]),
    (2, "agent-config-invalid", ["agent", "status", "--config", "empty.toml"]),
    (3, "system-error", ["agent", "collect", "absent", "--source", "csv"]),
    (2, "system-error", ["agent", "collect", ".", "--source", "csv"]),
    (2, "source-unknown", ["agent", "collect", "a-file", "--source", "pbs"]),
    (2, "column-missing", ["agent", "collect", "a-file", "--source", "csv"]),
    (2, "field-unknown", ["agent", "collect", "a-file", "--source", "csv", "--map", "colour=a"]),
    (2, "", ["agent", "collect", "a-file", "--source", "csv", "--map", "start"]),
    (2, "timezone-unknown", ["agent", "collect", "a-file", "--source", "csv", "--timezone", "Mars/Base"]),
    (2, "step-missing", ["agent", "collect", "a-file", "--source", "gauge-csv"]),
    (3, "file-unreadable", ["demo", "--once", "--home", "new", "--trace", "absent"]),
    (4, "home-not-demo", ["demo", "--once", "HOME"]),
    (2, "", ["subsidy", "publicity", "--posted-on", "yesterday"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """A folder with a file of each wrong kind."""
    folder = tmp_path_factory.mktemp("things")
    write_passphrase(folder)
    for name, mode, text in (
        ("open-passphrase", 0o644, "correct horse battery"),
        ("short-passphrase", 0o600, "short"),
        ("a-file", 0o644, "neither JSON nor TOML\n"),
        ("empty.toml", 0o644, ""),
        ("public.jwk", 0o644, '{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'),
    ):
        (folder / name).touch(mode)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("status", "code", "arguments"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else None
)
def test_bad_input_is_refused_in_words(status, code, arguments, template, things):
    """Wrong calls end with the status of their kind, say why in Chinese and English, print no result and leave nothing."""
    options = {
        "HOME": ("--home", template.home.path),
        "SIGN": ("--home", template.home.path, "--passphrase-file", template.passphrase_file),
    }
    before = sorted(things.iterdir())
    done = suanquan(*(word for argument in arguments for word in options.get(argument, (argument,))), cwd=things)
    assert done.status == status, done.err
    assert done.out == ""
    assert code in done.err
    assert "Traceback" not in done.err
    assert CHINESE.search(done.err)
    assert re.search(r"[a-z]{2,} [a-z]{2,}", done.err)
    assert sorted(things.iterdir()) == before


def test_a_taken_port_is_said_so(installation, tmp_path):
    """A second service on one port ends with status 7 and names the address."""
    with ProcessService(installation) as service:
        arguments = ("serve", "--home", installation.home.path, "--passphrase-file", installation.passphrase_file)
        done = suanquan(*arguments, "--port", service.port, cwd=tmp_path)
    assert done.status == 7
    assert f"127.0.0.1:{service.port}" in done.err
    assert "--port" in done.err


def test_what_exceeds_the_cap_is_insufficient(home, installation, tmp_path):
    """A holder's yearly cap ends the issuing with status 6 and says what is left."""
    scheme = installation.home.config / "schemes/sandbox.toml"
    caps = r"((?<=\n)fen|max_voucher_fen) = [0-9_]+"
    scheme.write_text(re.sub(caps, r"\1 = 10_000", scheme.read_text("utf-8")), encoding="utf-8")
    first, second = (suanquan(*ISSUE, "60", *home, cwd=tmp_path) for _ in range(2))
    assert (first.status, second.status) == (0, 6)
    assert "40.000000 CNY" in second.err
