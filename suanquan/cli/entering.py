"""Which command runs, with what it was given: who acts and what the audit log says come from here, not from the words typed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from suanquan.access.commands import NAME_OPTIONAL

NAMES = ("as_", "officer")
"""Parameters that say who acts."""
_UNTOLD = frozenset({*NAMES, "home", "passphrase_file", "json", "approved_by", "approver_token_file"})


@dataclass(frozen=True, slots=True)
class Entered:
    """A command under way. `path` is its words; `arguments` what stood beside its options."""

    path: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Who is said to act; empty where nobody is."""
        return next((str(self.given[name]) for name in NAMES if self.given.get(name)), "")

    @property
    def lacks_name(self) -> bool:
        """Whether a name must be given and is empty."""
        return not self.name and self.path not in NAME_OPTIONAL and any(name in self.given for name in NAMES)

    def about(self, *, reads: bool) -> str:
        """What the audit log says of it: its objects; of a reading what narrows it as well."""
        told = self.given if reads else {name: self.given[name] for name in self.arguments}
        words = (
            f"{name.strip('_')}={value}"
            for name, value in told.items()
            if name not in _UNTOLD and isinstance(value, str | int | Path) and value not in ("", False)
        )
        return " ".join(words)


entered: ContextVar[Entered | None] = ContextVar("entered", default=None)
token_file: ContextVar[Path | None] = ContextVar("token_file", default=None)
"""Where the secret of whoever acts stands."""


def leaves(command: Any, path: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """Every command of a tree with its words."""
    if isinstance(command, TyperGroup):
        for name, one in command.commands.items():
            yield from leaves(one, f"{path} {name}".strip())
    else:
        yield path, command


def built(app: typer.Typer) -> Any:
    """The commands of an application, each of which says that it was entered."""
    root = typer.main.get_command(app)
    for path, leaf in leaves(root):
        assert leaf.callback is not None, path
        arguments = tuple(one.name for one in leaf.params if one.param_type_name == "argument" and one.name)
        leaf.callback = _entering(path, arguments, leaf.callback)
    return root


def _entering(path: str, arguments: tuple[str, ...], callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def run(**given: Any) -> Any:
        entered.set(Entered(path, given, arguments))
        return callback(**given)

    return run
