"""The command line. Commands load what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

import sys

from ledger.errors import DomainError


def main() -> None:
    """Run a command; errors of the domain become one clear message and the exit status of their kind."""
    from suanquan.cli.app import app
    from suanquan.cli.output import fail

    try:
        app(standalone_mode=True)
    except DomainError as error:
        sys.exit(fail(error))
    except KeyboardInterrupt:
        sys.exit(130)
