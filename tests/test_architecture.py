"""The architecture as a test: who may import whom, and what stays out of the domain.

A rule is a function from a parsed module to the places that break it; its docstring is the reason. Each rule is shown to
fail on a snippet that breaks it, so that none can turn into a rule that never fails.
"""

from __future__ import annotations

import ast
import functools
import graphlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "ledger": {"ledger"},
    "metering": {"ledger", "metering"},
    "subsidy": {"ledger", "subsidy"},
    "voucher": {"ledger", "metering", "subsidy", "voucher"},
    "suanquan": {"ledger", "metering", "subsidy", "voucher", "suanquan"},
}
OURS = {*MAY_IMPORT, "tests", "benchmarks"}
DOMAIN = ("ledger/", "metering/", "subsidy/", "voucher/")

DEFERRED_IMPORTS = ("suanquan/cli/", "suanquan/optional.py")
"""The CLI loads heavy modules when a command runs; one loader is kept for optional back ends."""

INTEGER_COLUMNS = {
    f"metering/{name}.py": {"numpy"}
    for name in ("rating", "months", "rate_columns", "segment", "batch", "columns", "compact", "hourly")
}
"""Rating works on whole columns of int64 (or of Python integers); tests of their own look at their types."""

OUTER_WORLD = (
    *("time", "random", "secrets", "uuid", "os", "platform", "getpass", "tempfile", "signal", "cryptography.fernet"),
    *(
        "socket",
        "socketserver",
        "ssl",
        "select",
        "selectors",
        "http",
        "urllib.request",
        "subprocess",
        "multiprocessing",
    ),
)
OUTER_NAMES = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "Path.home", "Path.cwd"),
    *("asyncio.open_connection", "asyncio.open_unix_connection", "asyncio.start_server", "asyncio.start_unix_server"),
    *("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"),
    *("Ed25519PrivateKey.generate", "X25519PrivateKey.generate"),
    *("AESGCM.generate_key", "ChaCha20Poly1305.generate_key"),
}
EXACT_MATH = {"isqrt", "gcd", "lcm", "comb", "perm", "factorial", "prod", "floor", "ceil", "trunc"}


@dataclass(frozen=True)
class Module:
    """One source file: its path from the root and its syntax tree."""

    path: str
    tree: ast.Module

    @property
    def name(self) -> str:
        parts = PurePosixPath(self.path).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


Places = Iterator[tuple[int, str]]
Rule = Callable[[Module], Places]


@functools.cache
def modules() -> tuple[Module, ...]:
    """Every module of the five packages."""
    paths = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
    return tuple(Module(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))) for path in paths)


def imports(module: Module) -> Places:
    """What a module imports, as full dotted names: `from a.b import c` is `a.b.c`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = PurePosixPath(module.path).parts[: -node.level] if node.level else ()
            base = ".".join((*package, node.module) if node.module else package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def qualified(node: ast.AST) -> str:
    """`Ed25519PrivateKey.generate` of `ed25519.Ed25519PrivateKey.generate`: an attribute and the last name before it."""
    if not isinstance(node, ast.Attribute):
        return ""
    owner = node.value
    return f"{owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, 'id', '')}.{node.attr}"


def import_directions(module: Module) -> Places:
    """Nothing points up: the ledger can be read, tested and audited without what stands on it. Nobody imports tests."""
    allowed = MAY_IMPORT[module.path.split("/")[0]]
    for line, target in imports(module):
        if (package := target.split(".")[0]) in OURS and package not in allowed:
            yield line, f"imports {target}"


def sqlalchemy_in_its_rooms(module: Module) -> Places:
    """Rules stay values in, values out; SQL stands where a reader looks for it: tables, stores and the database room."""
    database = module.path.startswith("suanquan/db/")
    name = PurePosixPath(module.path).name
    store = name in {"tables.py", "store.py", "sql.py"} or name.endswith("_store.py")
    for line, target in imports(module):
        package = target.split(".")[0]
        if (package == "sqlalchemy" and not (database or store)) or (package == "alembic" and not database):
            yield line, f"imports {target}"


def domain_asks_for_nothing(module: Module) -> Places:
    """The domain gets `now`, entropy and bytes as arguments: replay, simulation and audit then see what the service saw.

    The centre's agent is a program of its own, with a clock and a network.
    """
    if not module.path.startswith(DOMAIN) or module.path.startswith("metering/agent/"):
        return
    for line, target in imports(module):
        if f"{target}.".startswith(tuple(f"{name}." for name in OUTER_WORLD)) or target in OUTER_NAMES:
            yield line, f"imports {target}"
    for node in ast.walk(module.tree):
        if (name := qualified(node)) in OUTER_NAMES:
            yield node.lineno, f"uses {name}"


def joins_paths(node: ast.AST) -> bool:
    """Whether a `/` must be a path's: a number cannot be divided by a string. Other paths say `joinpath`."""
    match node:
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return joins_paths(left) or joins_paths(right)
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
    return False


def float_in(node: ast.AST) -> str:
    """What makes this node a float; empty where nothing does."""
    match node:
        case ast.Constant(value=float() | complex()):
            return f"literal {node.value}"
        case ast.Name(id="float" | "complex"):
            return node.id
        case ast.AugAssign(op=ast.Div()) | ast.BinOp(op=ast.Div()) if not joins_paths(node):
            return "true division"
        case ast.Call(func=ast.Attribute(attr="timestamp" | "total_seconds" as method)):
            return f".{method}()"
        case ast.Attribute(value=ast.Name(id="math")) if node.attr not in EXACT_MATH:
            return f"math.{node.attr}"
    return ""


def no_float(module: Module) -> Places:
    """A float loses a fen without a word. Amounts and times are integers; ratios are `Fraction` or `Decimal`."""
    if not module.path.startswith(DOMAIN):
        return
    for line, target in imports(module):
        package, _, name = target.partition(".")
        floats = {"cmath", "statistics"} | ({"numpy"} - INTEGER_COLUMNS.get(module.path, set()))
        if package in floats or (package == "math" and name and name not in EXACT_MATH):
            yield line, f"imports {target}"
    for node in ast.walk(module.tree):
        if found := float_in(node):
            yield node.lineno, found


def imports_stand_at_the_top(module: Module) -> Places:
    """A deferred import hides a cycle and fails late. The CLI may, so that `--help` is quick; the optional loader must."""
    if module.path.startswith(DEFERRED_IMPORTS):
        return
    for function in ast.walk(module.tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            hidden = (node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom))
            yield from ((node.lineno, f"import inside {function.name}") for node in hidden)
        elif getattr(function, "id", "") == "__import__" or getattr(function, "attr", "") == "import_module":
            yield function.lineno, "import by name"


def only_the_cli_prints(module: Module) -> Places:
    """stdout belongs to the command alone (`--json` is parsed by scripts); everything else logs or returns."""
    if module.path.startswith("suanquan/cli/"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id == "print":
            yield node.lineno, "prints"


RULES = (
    import_directions,
    sqlalchemy_in_its_rooms,
    domain_asks_for_nothing,
    no_float,
    imports_stand_at_the_top,
    only_the_cli_prints,
)

BROKEN = [
    (import_directions, "ledger/a.py", "from metering.model import UsageRecord"),
    (import_directions, "metering/a.py", "import voucher"),
    (import_directions, "metering/agent/a.py", "from ...subsidy import policy"),
    (import_directions, "subsidy/a.py", "from voucher import scheme"),
    (import_directions, "voucher/a.py", "import suanquan.settings"),
    (import_directions, "suanquan/a.py", "from tests.shared_data import SHARED"),
    (sqlalchemy_in_its_rooms, "ledger/journal.py", "from sqlalchemy import select"),
    (sqlalchemy_in_its_rooms, "suanquan/http/a.py", "import sqlalchemy.exc"),
    (sqlalchemy_in_its_rooms, "ledger/store.py", "import alembic"),
    (domain_asks_for_nothing, "ledger/a.py", "import time"),
    (domain_asks_for_nothing, "ledger/a.py", "from os import environ"),
    (domain_asks_for_nothing, "ledger/a.py", "import urllib.request"),
    (domain_asks_for_nothing, "voucher/a.py", "import datetime as dt\nnow = dt.datetime.now(dt.UTC)"),
    (domain_asks_for_nothing, "subsidy/a.py", "from datetime import date\ntoday = date.today"),
    (domain_asks_for_nothing, "metering/a.py", "from asyncio import open_connection"),
    (domain_asks_for_nothing, "voucher/a.py", "key = ed25519.Ed25519PrivateKey.generate()"),
    (no_float, "ledger/a.py", "rate = 0.5"),
    (no_float, "metering/agent/a.py", "def wait(seconds: float): ..."),
    (no_float, "voucher/a.py", "share = part / whole"),
    (no_float, "voucher/a.py", "part /= 2"),
    (no_float, "subsidy/a.py", "root = math.sqrt(2)"),
    (no_float, "subsidy/a.py", "from math import fsum"),
    (no_float, "metering/a.py", "seconds = (end - start).total_seconds()"),
    (imports_stand_at_the_top, "suanquan/app.py", "def load():\n    import uvicorn"),
    (
        imports_stand_at_the_top,
        "suanquan/app.py",
        "async def load():\n    if True:\n        from fastapi import FastAPI",
    ),
    (imports_stand_at_the_top, "suanquan/app.py", "plugin = importlib.import_module(name)"),
    (only_the_cli_prints, "suanquan/app.py", "print('listening')"),
]

SOUND = [
    (import_directions, "voucher/a.py", "from metering import model\nimport subsidy\nfrom .errors import VoucherError"),
    (sqlalchemy_in_its_rooms, "ledger/tables.py", "import sqlalchemy"),
    (sqlalchemy_in_its_rooms, "suanquan/db/migrations/env.py", "from alembic import context"),
    (domain_asks_for_nothing, "metering/agent/daemon.py", "import os, time"),
    (domain_asks_for_nothing, "ledger/journal.py", "import asyncio\nfrom urllib.parse import quote\nnow = self.now()"),
    (no_float, "metering/a.py", "file = folder / 'prices' / name\nlog = folder / f'{name}.log'\nhalf = total // 2"),
    (no_float, "suanquan/metrics.py", "ratio = used / capacity"),
    (imports_stand_at_the_top, "suanquan/cli/serve.py", "def serve():\n    import uvicorn"),
    (only_the_cli_prints, "suanquan/cli/output.py", "print('{}')"),
]


def places(rule: Rule, path: str, source: str) -> list[tuple[int, str]]:
    return list(rule(Module(path, ast.parse(source))))


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One import cycle of the graph, module by module; empty where there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def import_graph(tree: tuple[Module, ...]) -> dict[str, set[str]]:
    """Which module imports which of ours; a name imported from a module counts as that module."""
    names = {module.name for module in tree}

    def owner(target: str) -> str:
        return target if target in names or not target else owner(target.rpartition(".")[0])

    return {module.name: {owner(target) for _, target in imports(module)} - {""} for module in tree}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_follows_the_rule(rule):
    """No module breaks the rule; its docstring says why it stands."""
    broken = sorted({f"{module.path}:{line} {what}" for module in modules() for line, what in rule(module)})
    assert not broken, "\n".join([rule.__doc__, *broken])


def test_no_module_is_part_of_an_import_cycle():
    """A knot of modules can only be read as one: cycles are refused between modules, not only between packages."""
    assert cycle(import_graph(modules())) == []


@pytest.mark.parametrize(("rule", "path", "source"), BROKEN)
def test_a_rule_finds_what_breaks_it(rule, path, source):
    """Each rule fails on code that breaks it."""
    assert places(rule, path, source)


@pytest.mark.parametrize(("rule", "path", "source"), SOUND)
def test_a_rule_leaves_sound_code_alone(rule, path, source):
    """Each rule accepts what it is meant to allow."""
    assert places(rule, path, source) == []


def test_every_rule_has_a_reason_and_an_example_that_breaks_it():
    """A rule without a docstring or without a failing example would be believed, not known."""
    assert {rule for rule, _, _ in BROKEN} == set(RULES)
    assert all(rule.__doc__ for rule in RULES)


def test_a_cycle_between_modules_is_found():
    """`a` imports a name of `b`, `b` imports `a`: a cycle, also through a relative import."""
    tree = (
        Module("ledger/a.py", ast.parse("from ledger.b import name")),
        Module("ledger/b.py", ast.parse("from . import a")),
    )
    assert set(cycle(import_graph(tree))) == {"ledger.a", "ledger.b"}
