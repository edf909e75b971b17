"""How far each collector has read: one small JSON file beside the spool, replaced as a whole.

It is written only after what was read lies in the spool. Losing it costs time, never truth: what is read again has the same
ids.
"""

from __future__ import annotations

import json
import os
from pathlib import Path


class Cursors:
    """Texts by name, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            found = {}
        self._values: dict[str, str] = {str(name): str(value) for name, value in found.items()}

    def get(self, name: str) -> str | None:
        """Give how far a collector has read; None: from the start."""
        return self._values.get(name)

    def put(self, name: str, value: str) -> None:
        """Remember, durably, how far a collector has read."""
        self._values[name] = value
        new = self._path.with_name(f"{self._path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(self._values, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
