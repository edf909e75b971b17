"""What the tools cannot know and a reader should not have to find: sizes, leftovers, addresses, locks. And the tools."""

from __future__ import annotations

import ast
import functools
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ALL

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ledger", "metering", "subsidy", "voucher", "suanquan")

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_USUAL = 35
USUAL_SHARE_PERCENT = 90
MODULE_LINES_MAX = 400
FILE_BYTES_MAX = 1_500_000
HEAVY_FILES = {"suanquan/letters/fonts/NotoSansCJKsc-Letters.otf": 1_928_324}
"""Files over the limit and the size they may not exceed: a Chinese font has nine thousand glyphs."""

LONG_MODULES = {
    "tests/metering/sources/test_sacct.py": 440,
    "tools/verify_log.py": 436,
    "tests/ledger/test_apply.py": 549,
    "tests/suanquan/harness.py": 403,
    "tests/suanquan/test_usage_http.py": 449,
}
"""Modules over the limit and the length they may not exceed: numbers here only go down."""

UNFINISHED = [word.replace("·", "") for word in ("TO·DO", "FIX·ME", "X·XX", "NotImplemented·Error")]
HOSTS = [
    host.replace("·", "") for host in ("py·pi.org", "python·hosted.org", "npm·js.org", "npm·js.com", "yarn·pkg.com")
]
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|home/\w+|Users/\w+)/")
LOCK = re.compile(r"(?:[a-z0-9._-]+==[\w.+!-]+(?: ; [^\\\n]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n)+")


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file that is or would be committed, vendored ones included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return tuple(path for name in listing.split("\0") if name and (path := ROOT / name).is_file())


@functools.cache
def texts() -> dict[str, str]:
    """The text files of the project, by their path from the root."""
    found = {}
    for path in files():
        data = path.read_bytes()
        if b"\0" not in data:
            found[path.relative_to(ROOT).as_posix()] = data.decode("utf-8", "replace")
    return found


def ours() -> dict[str, str]:
    """Texts that we wrote: what others wrote stands in folders named `vendor`."""
    return {name: text for name, text in texts().items() if "/vendor/" not in name}


@functools.cache
def sources() -> dict[str, ast.Module]:
    return {name: ast.parse(text) for name, text in texts().items() if name.endswith(".py")}


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def lines_with(pattern: str, named: dict[str, str]) -> list[str]:
    """`file:line` of every match, so that a failure can be clicked."""
    wanted = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in named.items()
        if wanted.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if wanted.search(line)
    ]


def test_no_function_is_longer_than_a_screen():
    """A function of more than 70 lines cannot be read at once."""
    long = [
        f"{name}:{function.lineno} {function.name} has {lines_of(function)} lines"
        for name, tree in sources().items()
        for function in functions(tree)
        if lines_of(function) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_most_functions_are_short():
    """At least nine functions of ten have 35 lines or fewer."""
    lengths = [
        lines_of(node) for name, tree in sources().items() if name.startswith(PACKAGES) for node in functions(tree)
    ]
    usual = sum(length <= FUNCTION_LINES_USUAL for length in lengths)
    assert usual * 100 >= len(lengths) * USUAL_SHARE_PERCENT


def test_no_module_grows_beyond_its_limit():
    """A module fits a mind: 400 lines, or the recorded length of one that was longer."""
    lengths = {name: text.count("\n") for name, text in texts().items() if name.endswith(".py")}
    assert not {name: n for name, n in lengths.items() if n > LONG_MODULES.get(name, MODULE_LINES_MAX)}
    assert {name for name in LONG_MODULES if lengths.get(name, 0) <= MODULE_LINES_MAX} == set(), (
        "drop them from the list"
    )


def test_every_test_states_a_fact():
    """Test modules and test functions have docstrings; the linter sees to the packages."""
    silent = [
        f"{name}:{getattr(node, 'lineno', 1)} {getattr(node, 'name', '')}"
        for name, tree in sources().items()
        if name.startswith("tests/") and tree.body
        for node in (tree, *(function for function in functions(tree) if function.name.startswith("test_")))
        if not ast.get_docstring(node)
    ]
    assert not silent, "\n".join(silent)


def test_nothing_is_left_unfinished():
    """What is not done is said in the documents, not in a marker that nobody counts."""
    found = lines_with(rf"\b(?:{'|'.join(UNFINISHED)})\b", ours())
    assert not found, "\n".join(found)


def test_no_file_names_a_package_host_or_a_machine():
    """Where packages come from is the operator's choice, and a path of one machine is nobody else's."""
    settings = " ".join(value for name, value in os.environ.items() if re.match("(?:PIP|UV|NPM_CONFIG)_", name))
    configured = re.findall(r"https?://(?:[^/@\s]*@)?([\w.-]+\.[a-z]{2,})", settings)
    hosts = "|".join(re.escape(host) for host in (*HOSTS, *configured))
    found = [*lines_with(hosts, texts()), *lines_with(MACHINE_PATH.pattern, ours())]
    assert not found, "\n".join(found)


def test_no_file_is_heavy_and_no_lock_names_hosts():
    """A clone stays small; locks of other tools hold package hosts and are not kept."""
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in files()}
    heavy = [f"{name}: {size} bytes" for name, size in sizes.items() if size > HEAVY_FILES.get(name, FILE_BYTES_MAX)]
    assert not heavy, "\n".join(heavy)
    assert [path for path in files() if path.name == "uv.lock" or path.match("pylock*.toml")] == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "requirements-agent.lock"])
def test_locks_pin_every_requirement_by_hash(name):
    """Each line is a pinned name with its hashes: no address, no option, nothing unpinned."""
    assert LOCK.fullmatch((ROOT / name).read_text("utf-8"))


def test_what_the_markers_look_for_is_found():
    """The search finds each kind of leftover, so a clean result means something."""
    marker, path = UNFINISHED[0], "/ro" + "ot/notes.txt"
    bad = {"a.md": f"fine\n{marker}: later\n", "b.toml": f"see {path}\n", "c.py": "a /work_item/ is no path\n"}
    assert lines_with(rf"\b{marker}\b", bad) == [f"a.md:2: {marker}: later"]
    assert lines_with(MACHINE_PATH.pattern, bad) == [f"b.toml:1: see {path}"]
    assert not LOCK.fullmatch("idna==3.20\n")
    assert not LOCK.fullmatch("--index-url x\n")


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.com"])
def test_no_test_reaches_the_network(host):
    """Anything but loopback is refused before a packet leaves, by name or by address."""
    with pytest.raises(RuntimeError, match="only loopback"):
        socket.create_connection((host, 443), timeout=1)


@pytest.mark.parametrize(
    "command",
    [["mypy", "--strict"], ["ruff", "check", "--quiet"], ["ruff", "format", "--check", "--quiet"]],
    ids=["types", "lint", "format"],
)
def test_the_tools_find_nothing(command):
    """mypy --strict, the linter and the formatter are clean, as configured in pyproject.toml."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_bandit_finds_nothing_severe():
    """No finding of high severity where requests, rights and SQL are; in every package with --all."""
    folders = PACKAGES if ALL else ("suanquan/http", "suanquan/access", "suanquan/db")
    command = [sys.executable, "-m", "bandit", "--quiet", "-lll", "--recursive", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
