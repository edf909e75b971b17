"""`suanquan voucher`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.scope import EVERYTHING
from suanquan.cli.books import KeyOption, OfficerOption, ReasonOption
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, PassphraseOption, run_with_service
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from suanquan.service import Service
    from voucher.issuance import Contract

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

JtiArgument = Annotated[str, typer.Argument(help="券编号 / voucher id")]
ContractOption = Annotated[
    str | None,
    typer.Option(
        "--contract",
        help="所支持的合同：服务商,合同号；一份合同只能申领一次 / contract it supports: PROVIDER,NUMBER",
    ),
]
NoContractOption = Annotated[str, typer.Option("--reason", help="没有合同的理由 / why there is no contract")]


@app.command()
def issue(
    scheme: Annotated[str, typer.Option(help="方案编号 / scheme id")],
    holder: Annotated[str | None, typer.Option(help="统一社会信用代码 / unified social credit code")] = None,
    amount: Annotated[str | None, typer.Option(help="金额（十进制）/ decimal amount")] = None,
    unit: Annotated[str, typer.Option(help="CNY 或/or PFLOPS.h")] = "CNY",
    holder_key: Annotated[str | None, typer.Option(help="持券人公钥 JWK（文件或文本）/ holder's public JWK")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="重试用同一键得同一张券 / same key, same voucher")] = None,
    contract: ContractOption = None,
    reason: NoContractOption = "",
    batch: Annotated[
        Path | None,
        typer.Option(
            help="批量：每行一个 JSON，含 holder、amount，可含 unit、holder_key、key、contract、reason / one JSON object a line"
        ),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """签发一张算力券，或按文件批量签发。Issue a voucher, or one for each line of a file."""
    from suanquan.use_cases.issue import with_tokens
    from voucher.issuance import IssueRequest

    if batch is not None:
        _issue_batch(scheme, batch, home, passphrase_file, json=json)
        return
    if holder is None or amount is None:
        raise typer.BadParameter("须给出 --holder 与 --amount，或 --batch / give --holder and --amount, or --batch")
    request = IssueRequest(holder, unit, amount, read_jwk(holder_key), read_contract(contract), reason)

    async def use(service: Service) -> dict[str, Any]:
        return with_tokens(await service.issue(scheme, request, idempotency_key))

    emit(run_with_service(home, use, passphrase_file, sign=True), as_json=json)


def read_contract(text: str | None) -> Contract | None:
    """The contract that a voucher supports, from `PROVIDER,NUMBER`; a number has no comma."""
    from voucher.issuance import Contract

    provider, _, number = (text or "").rpartition(",")
    return None if text is None else Contract(provider.strip(), number.strip())


def _issue_batch(scheme: str, file: Path, home: Path, passphrase_file: Path | None, *, json: bool) -> None:
    """The same file again issues nothing twice: without a `key` of its own a line is known by its place and content."""
    from suanquan.use_cases.issue_file import issue_file, read_orders

    orders = read_orders(file.read_bytes())

    async def use(service: Service) -> dict[str, Any]:
        return await issue_file(service.issue_many(scheme, orders))

    found = run_with_service(home, use, passphrase_file, sign=True)
    emit(found, as_json=json)
    if found["refused"]:
        raise typer.Exit(1)


def read_jwk(text: str | None) -> dict[str, object] | None:
    """A JWK from its text or a file."""
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
    """显示一张券及其可用额度。Show a voucher and what it still holds."""
    from suanquan.use_cases.issue import load, with_tokens

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            return with_tokens(await load(connection, jti, EVERYTHING))

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
            return [
                voucher_object(stored)
                for stored in await list_vouchers(connection, EVERYTHING, after=after, limit=limit)
            ]

    emit(run_with_service(home, use), as_json=json)


@app.command()
def verify(
    token: Annotated[
        str, typer.Argument(help="JWT、双签 JSON 或 SQ1: 文本 / JWT, JSON with two signatures, or SQ1: text")
    ],
    jwks: Annotated[
        list[Path] | None,
        typer.Option(help="公钥集文件，可多次；省略则用本目录的 / JWK set, repeat; default: this home's"),
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="签发方 URI，与 --jwks 同用 / issuer URI, with --jwks")] = None,
    status_list: Annotated[
        list[Path] | None,
        typer.Option(
            help="状态列表文件（JWT 或 CWT），可多次；给出则必须查到 / status list, repeat; then it must tell"
        ),
    ] = None,
    centre: Annotated[str | None, typer.Option(help="在哪个中心使用 / where it is to be spent")] = None,
    require: Annotated[
        list[str] | None, typer.Option(help="须有的签名算法，可多次 / algorithm it must be signed by, repeat")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """离线核验一张券；只需缓存的公钥与状态列表。Verify a voucher offline: cached keys and status lists are enough."""
    from suanquan.use_cases.verify_voucher import trusted_keys, verify_text

    trust = trusted_keys(home, jwks or [], issuer, require or [])
    emit(verify_text(token, trust, status_list, centre), as_json=json)


@app.command()
def present(
    token: Annotated[str, typer.Argument(help="券：JWT、双签 JSON 或 SQ1: 文本 / the voucher's token")],
    key: Annotated[
        Path, typer.Option(help="持券人私钥 PEM（0600）/ holder's private key file, as agent keygen makes it")
    ],
    nonce: Annotated[str, typer.Option(help="中心取得的 nonce / the nonce that the centre was given")],
    centre: Annotated[str, typer.Option(help="在哪个中心使用 / centre that will hold it")],
    amount: Annotated[str, typer.Option(help="冻结数量（十进制）/ decimal amount to be held")],
    reference: Annotated[str, typer.Option("--ref", help="作业名，或所追加的冻结编号 / job, or the hold to be raised")],
    url: Annotated[str, typer.Option(help="服务的公开地址 / public address of the service")],
    unit: Annotated[str, typer.Option(help="CNY 或/or PFLOPS.h")] = "CNY",
    lease: Annotated[bool, typer.Option("--lease", help="用于离线租约 / for an offline lease")] = False,
    json: JsonOption = False,
) -> None:
    """持券人对一次冻结的证明，两分钟内有效；不联网。The holder's proof for one hold, good for two minutes; no network."""
    from suanquan.use_cases.present import prove

    proof = prove(
        token, key, nonce=nonce, centre=centre, amount=amount, unit=unit, reference=reference, url=url, lease=lease
    )
    if json:
        emit(proof, as_json=True)
    else:
        typer.echo(proof["proof"])


@app.command()
def qr(
    jti: Annotated[str, typer.Argument(help="券编号 / voucher id")],
    out: Annotated[Path, typer.Option("--out", "-o", help="写入 .svg 或 .png / file to write, .svg or .png")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """二维码，SVG 或 PNG。The QR code as SVG or PNG."""
    from suanquan.use_cases.issue import load, released
    from voucher.qr import render

    async def use(service: Service) -> bytes:
        async with service.database.read() as connection:
            return render(released(await load(connection, jti, EVERYTHING)).cwt, out.suffix.removeprefix(".").lower())

    out.write_bytes(run_with_service(home, use))
    note(str(out))


@app.command()
def split(
    jti: JtiArgument,
    amount: Annotated[str, typer.Option(help="分出的金额 / how much becomes a voucher of its own")],
    holder_key: Annotated[str, typer.Option(help="新券持有人公钥 JWK（文件或文本）/ public JWK of the new voucher")],
    idempotency_key: Annotated[str | None, typer.Option(help="重试用同一键得同一张券 / same key, same voucher")] = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """拆分：把可用额度的一部分另立一券。Split: a part of what is available becomes a voucher of its own."""
    import secrets

    from suanquan.use_cases.issue import with_tokens
    from suanquan.use_cases.split import SplitOrder

    order = SplitOrder(jti, amount, read_jwk(holder_key) or {}, idempotency_key or secrets.token_hex(16))

    async def use(service: Service) -> dict[str, Any]:
        return with_tokens(await service.split(order))

    emit(run_with_service(home, use, passphrase_file, sign=True), as_json=json)


@app.command()
def suspend(
    jti: JtiArgument, officer: OfficerOption, reason: ReasonOption, key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME, json: JsonOption = False,
) -> None:  # fmt: skip
    """中止：暂不可用。Suspend: it cannot be spent for now."""
    _change("suspend", jti, officer, reason, key, home, json=json)


@app.command()
def resume(
    jti: JtiArgument, officer: OfficerOption, reason: ReasonOption, key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME, json: JsonOption = False,
) -> None:  # fmt: skip
    """恢复中止的券。Resume a suspended voucher."""
    _change("resume", jti, officer, reason, key, home, json=json)


@app.command()
def revoke(
    jti: JtiArgument, officer: OfficerOption, reason: ReasonOption, key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME, json: JsonOption = False,
) -> None:  # fmt: skip
    """撤销：剩余额度退回预算，不可恢复。Revoke for ever: what is free goes back to the budget."""
    _change("revoke", jti, officer, reason, key, home, json=json)


def _change(what: str, jti: str, officer: str, reason: str, key: str | None, home: Path, *, json: bool) -> None:
    from suanquan.use_cases.books import Order
    from suanquan.use_cases.standing import change_standing

    async def use(service: Service) -> dict[str, Any]:
        return await change_standing(service.journal, Order(officer, reason, key), jti, what)

    emit(run_with_service(home, use), as_json=json)
