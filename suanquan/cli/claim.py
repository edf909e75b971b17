"""`suanquan claim` and `suanquan receipt`: redemption claims, target agreements, receipts of jobs and disputes about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, PassphraseOption, actor_here, run_with_service
from suanquan.cli.output import emit
from suanquan.cli.settlement import AsOption, FilterOption, KeyOption, ReasonOption, by_of

if TYPE_CHECKING:
    from suanquan.service import Service
    from suanquan.use_cases.claims import Claims
    from suanquan.use_cases.job_receipts import Receipts
    from suanquan.use_cases.settlement_facts import By

claim_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
receipt_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ClaimArgument = Annotated[str, typer.Argument(help="兑付申请编号 / id of the claim")]
FileArgument = Annotated[Path, typer.Argument(help="内容，YAML 或 JSON / its content, YAML or JSON", exists=True)]
SourceOption = Annotated[str, typer.Option(help="用量记录的来源 / source of a usage record")]
RecordOption = Annotated[str, typer.Option(help="用量记录的编号 / id of a usage record")]
EventOption = Annotated[str, typer.Option(help="请款的事件编号 / event id of a capture")]
DigestOption = Annotated[str, typer.Option("--receipt", help="收据摘要 / digest of the receipt")]
SignatureOption = Annotated[str, typer.Option(help="持券人密钥的签名 / signature by the holder's key")]


@claim_app.command("list")
def list_claims(
    scheme: FilterOption = None, payee: FilterOption = None, home: HomeOption = DEFAULT_HOME, json: JsonOption = False
) -> None:
    """列出兑付申请。List redemption claims."""
    from suanquan.use_cases.claim_reading import load_claims
    from suanquan.use_cases.settlement_views import claim_object

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as conn:
            return [claim_object(one) for one in await load_claims(conn, scheme, payee)]

    emit(run_with_service(home, use), as_json=json)


@claim_app.command()
def submit(
    file: FileArgument, as_: AsOption, key: KeyOption = None, home: HomeOption = DEFAULT_HOME, json: JsonOption = False
) -> None:
    """提交兑付申请，由方案核定金额。Submit a claim; the scheme decides the amount."""
    from suanquan.use_cases.settlement_views import claim_object

    given = _read(file)
    _claim(home, json, as_, "claim", key, lambda claims, by: _shown(claims.submit(by, given), claim_object))


def _end(name: str, kind: str, text: str) -> None:
    def command(
        claim: ClaimArgument,
        reason: ReasonOption,
        as_: AsOption,
        key: KeyOption = None,
        home: HomeOption = DEFAULT_HOME,
        json: JsonOption = False,
    ) -> None:
        from suanquan.use_cases.settlement_views import claim_object

        _claim(
            home, json, as_, kind, key, lambda claims, by: _shown(claims.end(by, claim, kind, reason), claim_object)
        )  # fmt: skip

    command.__doc__ = text
    claim_app.command(name)(command)


_end("withdraw", "withdraw", "撤回申请。Withdraw a claim.")
_end("return", "give_back", "退回申请，补正后可再提。Give a claim back to be corrected.")
_end("refuse", "refuse", "不予兑付。Refuse a claim.")


@claim_app.command()
def agree(
    file: FileArgument, as_: AsOption, key: KeyOption = None, home: HomeOption = DEFAULT_HOME, json: JsonOption = False
) -> None:
    """签订目标责任书。Sign a target-responsibility agreement."""
    from suanquan.use_cases.settlement_views import agreement_object

    given = _read(file)
    _claim(home, json, as_, "agree", key, lambda claims, by: _shown(claims.agree(by, given), agreement_object))


@receipt_app.command()
def show(
    as_: AsOption,
    source: SourceOption = "",
    record: RecordOption = "",
    event: EventOption = "",
    passphrase_file: PassphraseOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """一个作业的签名收据。The signed receipt of a job."""
    from suanquan.use_cases.job_receipts import About, Receipts
    from suanquan.use_cases.settlement_facts import By

    async def use(service: Service) -> dict[str, Any]:
        actor = await actor_here(service, as_)
        receipts = Receipts(service.journal, service.rules, service.keys.issuer)
        about = About(source, record, event)
        return await receipts.receipt(By(actor.person, actor.role.value), about, service.issuer)

    emit(run_with_service(home, use, passphrase_file, sign=True), as_json=json)


@receipt_app.command()
def countersign(
    digest: DigestOption,
    as_: AsOption,
    source: SourceOption = "",
    record: RecordOption = "",
    event: EventOption = "",
    signature: SignatureOption = "",
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """受益单位确认收据。The beneficiary says that a receipt is right."""
    from suanquan.use_cases.job_receipts import About

    about = About(source, record, event)
    _receipt(
        home, json, as_, "countersign", key, lambda receipts, by: receipts.countersign(by, about, digest, signature)
    )  # fmt: skip


@receipt_app.command()
def dispute(
    digest: DigestOption,
    reason: ReasonOption,
    as_: AsOption,
    source: SourceOption = "",
    record: RecordOption = "",
    event: EventOption = "",
    signature: SignatureOption = "",
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """受益单位对收据提出争议，了结前不列入结算。The beneficiary disputes a receipt; it stays out of batches."""
    from suanquan.use_cases.job_receipts import About
    from suanquan.use_cases.settlement_views import dispute_object

    about = About(source, record, event)
    _receipt(
        home, json, as_, "dispute", key,
        lambda receipts, by: _shown(receipts.dispute(by, about, digest, reason, signature), dispute_object),
    )  # fmt: skip


@receipt_app.command()
def disputes(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出争议。List disputes."""
    from suanquan.use_cases.disputes import load_disputes
    from suanquan.use_cases.settlement_views import dispute_object

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as conn:
            return [dispute_object(one) for one in (await load_disputes(conn)).all]

    emit(run_with_service(home, use), as_json=json)


@receipt_app.command()
def resolve(
    name: Annotated[str, typer.Argument(help="争议编号 / id of the dispute")],
    outcome: Annotated[str, typer.Option(help="confirmed（收据无误）或 corrected（已更正用量）/ one of these")],
    reason: ReasonOption,
    as_: AsOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """了结争议。Resolve a dispute."""
    from suanquan.use_cases.settlement_views import dispute_object

    _receipt(
        home, json, as_, "resolve", key,
        lambda receipts, by: _shown(receipts.resolve(by, name, outcome, reason), dispute_object),
    )  # fmt: skip


async def _shown(found: Awaitable[Any], view: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    return view(await found)


def _read(file: Path) -> dict[str, Any]:
    from suanquan.errors import ServiceError
    from subsidy.yaml_text import read_yaml

    content = read_yaml(file.read_text(encoding="utf-8"), str(file))
    if not isinstance(content, dict):
        raise ServiceError("claim-malformed", f"{file} 应为“键: 值”", f"{file} must be a mapping")
    return content


def _claim(
    home: Path, as_json: bool, person: str, kind: str, key: str | None,
    act: Callable[[Claims, By], Awaitable[dict[str, Any]]],
) -> None:  # fmt: skip
    from suanquan.use_cases.claims import Claims

    async def use(service: Service) -> dict[str, Any]:
        by = await by_of(service, person, kind, key)
        return await act(Claims(service.journal, service.catalog.series), by)

    emit(run_with_service(home, use), as_json=as_json)


def _receipt(
    home: Path, as_json: bool, person: str, kind: str, key: str | None,
    act: Callable[[Receipts, By], Awaitable[dict[str, Any]]],
) -> None:  # fmt: skip
    from suanquan.use_cases.job_receipts import Receipts

    async def use(service: Service) -> dict[str, Any]:
        by = await by_of(service, person, kind, key)
        return await act(Receipts(service.journal, service.rules, service.keys.issuer), by)

    emit(run_with_service(home, use), as_json=as_json)
