"""`suanquan audit …`: who did and saw what; the check that nothing of it was changed; exports, and what is erased."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, PassphraseOption, run_with_service, who_acts
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from suanquan.access.trail import Checked
    from suanquan.service import Service

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
EXIT_PROOF = 8


@app.command()
def verify(
    from_: Annotated[Path | None, typer.Option("--from", help="只凭导出文件核验 / check an export alone")] = None,
    key: Annotated[
        str | None, typer.Option(help="日志公钥，或其文件，与 --from 同用 / the log's vkey or file, with --from")
    ] = None,
    head: Annotated[
        str, typer.Option(help="早先记下的 条数:根 / SIZE:ROOT noted earlier, to find what was cut off")
    ] = "",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """重算审计日志，与签名的日志头核对。Recompute the audit log and compare it with its signed heads; else exit status 8."""
    from suanquan.cli.log import verifier_key
    from suanquan.use_cases.audit_file import verify_lines
    from suanquan.use_cases.audit_heads import heads_of

    size, root = _head(head)

    async def use(service: Service) -> Checked:
        return await heads_of(service.log).verify(size)

    if from_ is None:
        found = run_with_service(home, use)
    else:
        with from_.open(encoding="utf-8") as lines:
            found = verify_lines(lines, size, [] if key is None else [verifier_key(key)])
    fault = found.fault
    if size is not None and (found.earlier is None or found.earlier.hex() != root):
        fault = fault or f"it does not continue the head of {size} rows"
    emit({"ok": not fault, "rows": found.size, "root": found.root.hex(), "fault": fault or None}, as_json=json)
    if fault:
        note("审计日志与其记录不符。The audit log does not agree with its rows.")
        raise typer.Exit(EXIT_PROOF)


@app.command()
def checkpoint(
    key: Annotated[bool, typer.Option("--key", help="只给公钥，供见证方登记 / its public keys, for witnesses")] = False,
    cosigned: Annotated[bool, typer.Option("--cosigned", help="见证方副署的最近一个 / the last one cosigned")] = False,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """签名的审计日志头；有口令时先签最新的。The signed head; with the passphrase the newest is signed first."""
    from suanquan.cli.log import run_with_keys
    from suanquan.use_cases.audit_heads import cosigned_head, keys_of, signed_head

    if key or cosigned:
        sys.stdout.write(run_with_service(home, keys_of if key else cosigned_head))
        return
    found = run_with_keys(home, lambda service: signed_head(service.log), passphrase_file)
    if json:
        emit({"size": found.size, "root": found.root.hex(), "note": found.note}, as_json=True)
    else:
        sys.stdout.write(found.note)


def _head(text: str) -> tuple[int | None, str]:
    size, colon, root = text.partition(":")
    if not text:
        return None, ""
    if not colon or not size.isdigit():
        raise typer.BadParameter("应为 条数:根 / must be SIZE:ROOT", param_hint="--head")
    return int(size), root


@app.command("list")
def list_(
    person: Annotated[str, typer.Option(help="账号名 / account")] = "",
    action: Annotated[str, typer.Option(help="动作或其首词 / action, or its first word")] = "",
    since: Annotated[str, typer.Option(help="起，RFC 3339 / from")] = "",
    until: Annotated[str, typer.Option(help="止（不含）/ until, exclusive")] = "",
    after: Annotated[int, typer.Option(help="从这一条之后 / after this row")] = -1,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="至多几条 / at most")] = 100,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """查审计日志，由旧到新。Search the audit log, oldest first."""
    from suanquan.db import trail
    from suanquan.use_cases.audit_file import row_object

    wanted = trail.Wanted(person, action, _instant(since, 0), _instant(until, 2**62), after, limit)

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as conn:
            return [row_object(row) for row in await trail.search(conn, wanted)]

    emit(run_with_service(home, use), as_json=json)


def _instant(text: str, otherwise: int) -> int:
    from metering.instants import parse_instant

    try:
        return parse_instant(text) if text else otherwise
    except ValueError as fault:
        raise typer.BadParameter(f"{text!r}: {fault}") from fault


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="新文件 / a new file")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """导出整个审计日志，每行一条。Export the whole audit log, one row a line."""
    from suanquan.use_cases import audit_file

    async def use(service: Service) -> int:
        count = -1
        async with service.database.read() as conn:
            with file.open("x", encoding="utf-8") as target:
                async for line in audit_file.export(conn):
                    target.write(line + "\n")
                    count += 1
        return count

    emit({"rows": run_with_service(home, use), "file": str(file)}, as_json=json)


@app.command()
def erase(
    before: Annotated[str, typer.Option(help="早于此时的明细，RFC 3339 / details before this instant")],
    as_: Annotated[str, typer.Option("--as", help="以哪个账号的名义 / as which account")],
    reason: Annotated[str, typer.Option(help="理由 / reason")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """删去过了保存期的明细（谁、何物），条目与根不变。Drop details past their time; rows and root stay as they are."""
    from suanquan.access.trail import ERASE
    from suanquan.use_cases.audit_retention import erase_before

    until_us = _instant(before, 0)

    async def use(service: Service) -> int:
        return await erase_before(service, (await who_acts(service, ERASE, as_)).who, until_us, reason)

    emit({"erased": run_with_service(home, use)}, as_json=json)


@app.command("retention")
def retention_(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """保存期限：各保存几天、现有几条过期；服务每小时删去。How long what is kept and how many rows are past it; the service drops them."""
    from suanquan.use_cases.retention import standing

    emit(run_with_service(home, lambda service: standing(service.access)), as_json=json)
