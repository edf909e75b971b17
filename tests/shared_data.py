"""Where third-party traces and vectors lie beside the project; tests that need them are skipped, with a reason, without them."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared (third-party traces and vectors) is absent")
