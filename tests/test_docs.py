"""The documents are true: their links lead somewhere, their commands run, and what they list is what the code has."""

import ast
import hashlib
import importlib
import json
import re
import shlex
import shutil
import socket
import subprocess
from types import SimpleNamespace

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from metering.signature import COMPONENTS, sign, signature_base
from suanquan import metrics
from suanquan.cli.app import app
from suanquan.http import holds
from suanquan.http.app import ROUTERS
from suanquan.settings import Settings
from suanquan.use_cases.overview import Overview
from tests.shared_data import ROOT
from tests.suanquan.command import Command, suanquan

READMES = (ROOT / "README.md", ROOT / "README.en.md")
DOCS = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
DECISIONS = sorted(path for path in (ROOT / "docs/decisions").glob("*.md") if not path.name.startswith("0000"))
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[a-z]*/README.md")})
API = (ROOT / "docs/api.md").read_text("utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text("utf-8")

CODE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)+|busy|stopped|internal")
HTTP_USE_CASES = (
    *("catalogue", "ingest", "issue", "postings", "statement"),
    *("log", "receipts", "statements", "subsidies", "completeness", "standing", "status_lists"),
    *("check_decision", "decisions", "letters", "decision_office"),
    *("admission", "spending", "split"),
    *("applications", "officers", "procedure", "procedure_money", "register"),
    *("quarantine", "shares"),
    *("advice", "admission_review", "line_disputes", "forecast", "alerts"),
    *("centres", "centre_admission", "notes", "findings", "parties"),
    *("settlements", "settlement_facts", "settlement_reading", "payees", "evidence"),
    *("claims", "claim_sources", "claim_reading", "disputes", "job_receipts", "job_parts"),
    *("access", "accounts", "identities", "passkeys", "sign_in"),
    *("matter", "procedure_requests", "voucher_matter", "programme_money", "allotment", "issue_approved"),
)
PROBLEMS_RISE_IN = [
    *(ROOT / "suanquan/http").glob("*.py"),
    *(ROOT / "suanquan/use_cases" / f"{name}.py" for name in HTTP_USE_CASES),
    *(
        ROOT / name
        for name in (
            "metering/batch.py",
            "metering/dispute.py",
            "metering/centre.py",
            "metering/wire.py",
            "metering/signature.py",
            "metering/rating.py",
            "ledger/journal.py",
        )
    ),
    *(ROOT / name for name in ("suanquan/checks.py", "voucher/findings.py")),
    *(ROOT / name for name in ("subsidy/ruling.py", "suanquan/letters/glyphs.py", "suanquan/letters/render.py")),
    *(
        ROOT / name
        for name in (
            "suanquan/db/database.py",
            "voucher/issuance.py",
            "voucher/application.py",
            "voucher/holder.py",
            "voucher/qr.py",
            "ledger/amount.py",
        )
    ),
    *(ROOT / "voucher/settlement").glob("*.py"),
    *(ROOT / "suanquan/access" / f"{name}.py" for name in ("oidc", "passwords", "policy", "seal")),
    ROOT / "suanquan/oidc_client.py",
    ROOT / "suanquan/optional.py",
    *(
        ROOT / "subsidy" / name
        for name in ("materials.py", "procedure_guards.py", "procedure_inputs.py", "steps.py", "procedure_reader.py")
    ),
]
NEVER_ON_HTTP = {
    "not-rolled-back", "witnesses-unreadable",  # of commands and of the start
    "role-unknown", "person-malformed", "person-unknown", "quote-not-found",  # of commands
    "input-malformed",  # single fields in `errors`
    "issuer-missing", "keys-missing", "case-unknown", "case-ambiguous", "authority-unset",  # of commands alone
    "policies-missing", "decision-malformed",  # of the home's configuration, and of decision files
    "asset-unknown", "bulk-too-large",  # no route names an asset or sends events in bulk
    "event-conflict",  # two events under one id: our own are named by their content
    "already-signed", "encodings-differ", "signer-mismatch",  # what cannot happen between record and signature
}  # fmt: skip


def blocks(text):
    """Fenced blocks as information string, content and whether the line before says that it is only an illustration."""
    for match in re.finditer(
        r"(^<!-- illustrative.*?-->\n)?^```(\S+)(?: (\S+))?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        yield match[2], match[3], match[4], match[1] is not None


def block(text, name):
    (found,) = [content for _, title, content, _ in blocks(text) if title == name]
    return found


def rows(text):
    """Cells of every table row."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """A relative link names a file of the project."""
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_both_readmes_say_the_same():
    """Chinese and English have the same headings, lists, tables, links and examples."""

    def shape(page):
        text = page.read_text("utf-8")
        lines = [re.match(r"#+ |- |\| |```\S* ?\S*", line) for line in text.splitlines()]
        links = [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("README")]
        return [line[0] for line in lines if line], links, [content for _, _, content, _ in blocks(text)]

    assert shape(READMES[0]) == shape(READMES[1])


def commands_of(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, (*path, name))
        else:
            yield (*path, name), {option for param in command.params for option in param.opts}


KNOWN = dict(commands_of(typer.main.get_command(app)))


def is_ours(words):
    return words[:1] in (["suanquan"], ["./run"])


def assert_exists(words):
    """The command and each of its options are known to the command line."""
    if words == ["./run", "test"]:
        assert "test)" in (ROOT / "run").read_text("utf-8")
        return
    name = next(tuple(words[1:end]) for end in (2, 3, 4) if tuple(words[1:end]) in KNOWN)
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert used <= KNOWN[name] | {"--help"}, (name, used - KNOWN[name])


class Shell:
    """Runs the commands of a page in a folder of its own, in their order, ours in processes of the test run."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        self._folder = folder
        self._environment = {"SUANQUAN_PORT": self.port}
        self._background = []
        self.printed = ""

    def write(self, name, content):
        (self._folder / name).write_text(content.replace("8080", self.port), encoding="utf-8")

    def run(self, line):
        words = shlex.split(line)
        if words[0] == "export":
            name, value = words[1].split("=")
            self._environment[name] = value.replace("$PWD", str(self._folder))
        elif not is_ours(words):
            if words[0] != "curl" or shutil.which("curl"):
                subprocess.run(
                    ["sh", "-ec", line.replace("8080", self.port)], cwd=self._folder, check=True, capture_output=True
                )
        elif words[-1] == "&":
            service = Command(*words[1:-1], cwd=self._folder, environment=self._environment)
            service.wait_for("listening")
            self._background.append(service)
        else:
            target = words[-1] if words[-2:-1] == [">"] else None
            done = suanquan(*words[1 : -2 if target else None], cwd=self._folder, environment=self._environment)
            assert done.status == 0, f"{line}\n{done.err}"
            if target:
                (self._folder / target).write_text(done.out, encoding="utf-8")
            else:
                self.printed += done.out

    def close(self):
        for service in self._background:
            service.interrupt()
            assert service.done().status == 0


@pytest.mark.parametrize("page", [READMES[0], *DOCS[2:]], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_runs(page, tmp_path):
    """Commands are run as they stand, with the files that the page shows, and come to what it says; illustrations exist."""
    shell = Shell(tmp_path)
    text = page.read_text("utf-8")
    for language, name, content, illustrative in blocks(text):
        if name and "." in name:
            shell.write(name, content)
        if language != "sh":
            continue
        for line in content.splitlines():
            if is_ours(shlex.split(line)):
                assert_exists(shlex.split(line.partition(" > ")[0].removesuffix(" &")))
            if not illustrative:
                shell.run(line)
    shell.close()
    for promise in PROMISES.get(str(page.relative_to(ROOT)), lambda _: ())(text):
        assert promise in shell.printed


def demo_lines(text):
    """What the README shows of the demo, but for the size of the log, which the day decides, and its root."""
    return [line.partition(" log head ")[0] for line in block(text, "demo").splitlines()]


PROMISES = {
    "README.md": demo_lines,
    "docs/start.md": lambda _: ("redeemed: 96.000000", "available: 4.000000", "accepted: 2", "ok: True"),
    "docs/centre.md": lambda _: ("records: 2\ngpu_ms: 30300000", "running: 1", "gpu_ms: 29400000", "gpu_ms: 2220000"),
}


def codes_of(path):
    """Codes that a module can give: of errors, findings and faults, and those that its tables name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        values = []
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name.endswith("Error") or name in {"Fault", "Finding", "problem", "refused", "Result", "_malformed"}:
                values = node.args[:3]
            for value in values:
                if isinstance(value, ast.JoinedStr) and isinstance(value.values[0], ast.Constant):
                    yield from prefixed(value.values[0].value)
        elif isinstance(node, ast.Return | ast.Tuple):
            values = node.elts[:2] if isinstance(node, ast.Tuple) else []
        yield from (
            v.value
            for v in values
            if isinstance(v, ast.Constant) and isinstance(v.value, str) and CODE.fullmatch(v.value)
        )


def prefixed(prefix):
    if prefix == "signature-component-":
        yield from (prefix + part for part in ("unknown", "missing", "repeated"))
    elif prefix == "http-":
        yield from ("http-404", "http-405")


HEADERS = {"content-type", "content-digest", "idempotency-key", "signature-input", "agent-key", "retry-after"}


def test_every_problem_code_is_documented():
    """What the service can answer stands in docs/api.md, and what stands there can be answered."""
    raised = {code for path in PROBLEMS_RISE_IN for code in codes_of(path)} - NEVER_ON_HTTP - HEADERS
    section = API[API.index("## 错误") :]
    documented = {code for code in quoted(section) if CODE.fullmatch(code)} - {"content-type", "x-request-id"}
    assert raised - documented == set()
    sources = "".join(
        path.read_text("utf-8")
        for package in ("ledger", "metering", "subsidy", "voucher", "suanquan")
        for path in (ROOT / package).rglob("*.py")
    )
    built = {*prefixed("signature-component-"), *prefixed("http-"), "http-400"}
    assert {code for code in documented if f'"{code}"' not in sources} - built == set()


def test_every_route_is_documented():
    """The table of routes has exactly the routes of the service."""
    served = {f"{method} {route.path}" for router in ROUTERS for route in router.routes for method in route.methods}
    documented = {name for row in rows(API) for name in quoted(row[0]) if re.match(r"(GET|POST) /", name)}
    by_agents = ("/v1/usage", "/v1/usage/completeness", "/v1/usage/corrections", "/v1/usage/telemetry", *holds.ROUTES)
    assert documented == served | {f"POST {path}" for path in by_agents}


def test_every_setting_is_documented_with_its_default():
    """The table of settings is that of the code."""
    documented = {
        quoted(row[0])[0]: (quoted(row[1]) or [""])[0]
        for row in rows(OPERATIONS)
        if quoted(row[0]) and row[0].strip("`") in Settings.model_fields
    }
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert documented == {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in defaults.items()
    }


def test_every_limit_has_its_number():
    """The limits in the table are those of the code."""
    limits = [(quoted(row[0])[0], row[1]) for row in rows(OPERATIONS) if re.search(r"\.[A-Z_]+`", row[0])]
    assert len(limits) > 15
    for name, shown in limits:
        module, _, constant = name.rpartition(".")
        assert f"{getattr(importlib.import_module(module), constant):,}" == shown, name


def test_every_metric_is_documented():
    """The table of metrics has exactly the names of the page."""
    page = metrics.render(Overview([], [], [], {}, SimpleNamespace(size=0)), {}, 0).decode()
    served = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    table = OPERATIONS[OPERATIONS.index("## 指标") : OPERATIONS.index("## 退出状态")]
    assert {name for row in rows(table) for name in quoted(row[0])} == served


def test_the_worked_signature_is_true():
    """The example of docs/api.md can be recomputed by anybody: body, digest, base and signature."""
    record = json.loads(block(API, "record"))
    body = json.dumps([record], separators=(",", ":")).encode()
    request, *lines = block(API, "signature").splitlines()
    method, address = request.split(" ")
    shown = dict(line.split(": ", 1) for line in lines)
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    created, nonce = re.search(r'created=(\d+).*nonce="([^"]+)"', shown["signature-input"]).groups()
    headers = sign(
        key,
        PublicKey.of(key).kid,
        method=method,
        target_uri=address,
        content_type=shown["content-type"],
        body_sha256=hashlib.sha256(body).digest(),
        idempotency_key=shown["idempotency-key"],
        created_s=int(created),
        nonce=nonce,
    )
    assert headers == shown
    values = {**shown, "@method": method, "@target-uri": address}
    base = signature_base([(name, values[name]) for name in COMPONENTS], shown["signature-input"].removeprefix("sig1="))
    assert base.decode() == block(API, "base").rstrip("\n")


def test_every_guarantee_of_the_ledger_names_tests_that_exist():
    """Each guarantee in docs/ledger.md is shown by a test, or a class of tests, that is there."""
    text = (ROOT / "docs/ledger.md").read_text("utf-8")
    section = text.partition("## What is guaranteed, and which test shows it\n")[2].partition("\n## ")[0]
    guarantees = rows(section)[2:]
    assert len(guarantees) > 20
    for what, shown in guarantees:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown)
        assert named, what
        assert len(named) == shown.count("`") // 2, shown
        for path, name in named:
            source = (ROOT / path).read_text("utf-8")
            assert re.search(rf"^((async )?def {name}\(|class {name}\b|{name} = )", source, re.MULTILINE), (path, name)


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_every_decision_is_enforced_by_tests_that_exist(page):
    """A decision has the parts of the template, and its last one names test files and functions that are there."""
    text = page.read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Context",
        "Decision",
        "Consequences",
        "Alternatives",
        "Enforced by",
    ]
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", text[text.index("## Enforced by") :])
    assert named
    for path, function in named:
        source = (ROOT / path).read_text("utf-8")
        assert f"def {function or 'test_'}" in source, (path, function)


def test_the_index_names_every_document():
    """docs/README.md leads to each page and each decision."""
    linked = set(re.findall(r"\]\(([^)]+)\)", (ROOT / "docs/README.md").read_text("utf-8")))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (*DOCS[2:], *DECISIONS)}
    assert pages - {"README.md"} <= linked


def test_the_marker_of_illustrations_is_seen():
    """A block counts as an illustration only right below the marker."""
    text = "<!-- illustrative: why -->\n```sh\na\n```\n\n```sh\nb\n```\n"
    assert [(content, illustrative) for _, _, content, illustrative in blocks(text)] == [("a\n", True), ("b\n", False)]
