"""The agent alone: `suanquan-agent run --config agent.toml`, with nothing installed but what it needs.

It is the same agent as `suanquan agent`; a login node need not carry the service's libraries for it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger.errors import DomainError, Kind
from metering.agent.keys import create_key, load_key
from metering.agent.service import make_next_key, serve, status_of
from metering.possession import shown

EXIT_STATUS = {
    Kind.INVALID: 2,
    Kind.NOT_FOUND: 3,
    Kind.CONFLICT: 4,
    Kind.NOT_ALLOWED: 5,
    Kind.INSUFFICIENT: 6,
    Kind.UNAVAILABLE: 7,
    Kind.PROOF: 8,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is that of `suanquan`."""
    parser = argparse.ArgumentParser(
        prog="suanquan-agent", description="算力中心的用量上报代理 / a centre's usage agent"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("run", "常驻运行 / work until stopped"),
        ("status", "暂存与最后回执 / the spool and the last receipt"),
        ("rotate-key", "生成下一把密钥 / make the key to follow"),
    ):
        commands.add_parser(name, help=text).add_argument("--config", type=Path, required=True)
    for name, text in (
        ("keygen", "生成密钥 / make a key"),
        ("show-key", "输出公钥和持有证明 / the public key, and that it is held"),
    ):
        parser_of_key = commands.add_parser(name, help=text)
        parser_of_key.add_argument("file", type=Path)
        parser_of_key.add_argument(
            "--centre", default="", help="只在该中心登记有效 / the proof holds at this centre alone"
        )
    given = parser.parse_args(arguments)
    try:
        result = _done(given)
    except DomainError as error:
        sys.stderr.write(f"错误 {error.code}：{error.zh}\nerror {error.code}: {error.en}\n")
        return EXIT_STATUS[error.kind]
    if result is not None:
        sys.stdout.write(f"{json.dumps(result, ensure_ascii=False, indent=2)}\n")
    return 0


def _done(given: argparse.Namespace) -> dict[str, Any] | None:
    if given.command == "run":
        serve(given.config)
        return None
    if given.command == "status":
        return status_of(given.config)
    if given.command == "rotate-key":
        return dict(make_next_key(given.config))
    if given.command == "show-key":
        return dict(shown(load_key(given.file).private, given.centre))
    return dict(create_key(given.file, given.centre))


if __name__ == "__main__":
    sys.exit(main())
