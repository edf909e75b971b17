"""The command line. Commands load what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

import sys

from ledger.errors import DomainError


def main() -> None:
    """Run a command; errors of the domain and of the system become one clear message and the exit status of their kind."""
    from suanquan.cli.app import app
    from suanquan.cli.entering import built
    from suanquan.cli.output import fail, note, of_system

    try:
        built(app)(standalone_mode=True, prog_name="suanquan")
    except DomainError as error:
        sys.exit(fail(error))
    except OSError as fault:
        sys.exit(fail(of_system(fault)))
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as end:
        if end.code == 2:  # typer has said in English what is wrong with the command line
            note("用法见上文；任何命令加 --help 可看说明。")
        raise
