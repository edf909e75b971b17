"""What a file of tables holds, whatever its form: headings, rows of plain texts, and a word on where they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

FORMATS = ("csv", "xlsx", "pdf")
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class Head(NamedTuple):
    """The heading of a column, and whether figures stand in it."""

    text: str
    number: bool = False


class Sheet(NamedTuple):
    """One table: figures as plain decimals (`-1234.50`), everything else as it is said on the page."""

    key: str
    title: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[str]]


class Book(NamedTuple):
    """All that a file says: `name` is the file's, `about` tells where the tables are from and as of when."""

    name: str
    title: str
    about: Sequence[tuple[str, str]]
    sheets: Sequence[Sheet]
    language: str = "zh"
    mark: str = ""
    """The words of the sandbox's band, where it is one."""


def plain(text: str) -> str:
    """A figure as pages show it (`−1,234.50`) as a plain decimal; any other text as it is."""
    bare = text.replace(",", "").replace("−", "-")
    return bare if NUMBER.fullmatch(bare) else text
