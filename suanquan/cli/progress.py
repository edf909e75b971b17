"""A progress bar on stderr, drawn only for a person: never into a log, never on stdout."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from suanquan.cli.options import quiet

WIDTH = 30
DRAW_EVERY_S = 0.1


class Bar:
    """`with Bar("label", total) as bar: bar.to(done)`; draws at most ten times a second, and clears itself at the end."""

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = max(total, 1)
        self._drawn = 0.0
        self._quiet = quiet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def to(self, done: int) -> None:
        """Show that so much of the total is done."""
        if self._quiet or time.monotonic() - self._drawn < DRAW_EVERY_S:
            return
        self._drawn = time.monotonic()
        filled = min(WIDTH, WIDTH * done // self._total)
        percent = min(100, 100 * done // self._total)
        sys.stderr.write(f"\r{self._label} [{'#' * filled}{'.' * (WIDTH - filled)}] {percent:3d} %")
        sys.stderr.flush()
