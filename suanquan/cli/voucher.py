"""`suanquan voucher` and `suanquan keys`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, PassphraseOption, run_with_service
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from suanquan.service import Service

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
keys_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def issue(
    scheme: Annotated[str, typer.Option(help="方案编号 / scheme id")],
    holder: Annotated[str, typer.Option(help="统一社会信用代码 / unified social credit code")],
    amount: Annotated[str, typer.Option(help="金额（十进制）/ decimal amount")],
    unit: Annotated[str, typer.Option(help="CNY 或/or PFLOPS.h")] = "CNY",
    holder_key: Annotated[str | None, typer.Option(help="持券人公钥 JWK（文件或文本）/ holder's public JWK")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="重试用同一键得同一张券 / same key, same voucher")] = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """签发一张算力券。Issue a voucher."""
    from suanquan.use_cases.issue import with_tokens
    from voucher.issuance import IssueRequest

    request = IssueRequest(holder, unit, amount, _jwk(holder_key))

    async def use(service: Service) -> dict[str, Any]:
        return with_tokens(await service.issue(scheme, request, idempotency_key))

    emit(run_with_service(home, use, passphrase_file, sign=True), as_json=json)


def _jwk(text: str | None) -> dict[str, object] | None:
    import json

    if text is None:
        return None
    try:
        content = text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8")
        value = json.loads(content)
    except (OSError, ValueError) as fault:
        raise typer.BadParameter(f"读不到 JWK / cannot read the JWK: {fault}", param_hint="--holder-key") from fault
    if not isinstance(value, dict):
        raise typer.BadParameter("JWK 应为对象 / a JWK is an object", param_hint="--holder-key")
    return value


@app.command()
def show(
    jti: Annotated[str, typer.Argument(help="券编号 / voucher id")],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """显示一张券及其余额。Show a voucher and what it still holds."""
    from suanquan.use_cases.issue import load, with_tokens

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            return with_tokens(await load(connection, jti))

    emit(run_with_service(home, use), as_json=json)


@app.command("list")
def list_(
    home: HomeOption = DEFAULT_HOME,
    after: Annotated[str, typer.Option(help="从此券之后 / after this voucher")] = "",
    limit: Annotated[int, typer.Option(help="至多几张 / at most so many", min=1, max=10_000)] = 100,
    json: JsonOption = False,
) -> None:
    """列出算力券。List vouchers."""
    from suanquan.use_cases.issue import voucher_object
    from voucher.store import list_vouchers

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as connection:
            return [voucher_object(stored) for stored in await list_vouchers(connection, after=after, limit=limit)]

    emit(run_with_service(home, use), as_json=json)


@app.command()
def verify(
    token: Annotated[str, typer.Argument(help="JWT 或 SQ1: 文本 / JWT or SQ1: text")],
    jwks: Annotated[
        Path | None, typer.Option(help="公钥集文件；省略则用本目录的 / JWK set, default: this home's")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="签发方 URI，与 --jwks 同用 / issuer URI, with --jwks")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """离线核验一张券。Verify a voucher offline."""
    from suanquan.use_cases.verify_voucher import trusted_keys, verify_text

    emit(verify_text(token, trusted_keys(home, jwks, issuer)), as_json=json)


@keys_app.command("list")
def list_keys(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出签发密钥。List issuer keys."""
    from suanquan.home import Home

    registry = Home(home).require().load_registry()
    emit(
        [{"kid": key.kid, "state": key.state.value, "revoked_at": key.revoked_at_s} for key in registry.keys],
        as_json=json,
    )


@keys_app.command()
def jwks(
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,  # noqa: ARG001 -- taken like everywhere; a JWK set is JSON in any case
) -> None:
    """核验用的公钥集。JWK set that verifies tokens."""
    from suanquan.decision_keys import published_keys
    from suanquan.home import Home

    emit(published_keys(Home(home).require()), as_json=True)
