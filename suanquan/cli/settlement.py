"""`suanquan settlement` and `suanquan payee`: batches from the ledger to the bank, and who is paid."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, PassphraseOption, actor_here, run_with_service
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from suanquan.service import Service
    from suanquan.use_cases.settlement_facts import By
    from suanquan.use_cases.settlements import Settlements
    from voucher.settlement.batch import Batch
    from voucher.settlement.payee import Payee

settlement_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
payee_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

AsOption = Annotated[str, typer.Option("--as", help="经办人姓名 / who acts")]
KeyOption = Annotated[str | None, typer.Option("--key", help="幂等键 / makes the request repeatable")]
BatchArgument = Annotated[str, typer.Argument(help="结算批次 / id of the batch")]
PayeeArgument = Annotated[str, typer.Argument(help="centre:中心、uscc:代码 或 payer / whom")]
ReasonOption = Annotated[str, typer.Option("--reason", help="理由与文号 / reason, with the authority's reference")]
FilterOption = Annotated[str | None, typer.Option(help="只看此方案或收款方 / of this scheme or payee alone")]


async def by_of(service: Service, person: str, kind: str, key: str | None) -> By:
    """Who acts, in a role that may do this."""
    from suanquan.use_cases.settlement_facts import MAY, By

    actor = await actor_here(service, person, *MAY[kind])
    return By(actor.person, actor.role.value, key)


@settlement_app.command("list")
def list_batches(
    scheme: FilterOption = None, payee: FilterOption = None, home: HomeOption = DEFAULT_HOME, json: JsonOption = False
) -> None:
    """列出结算批次。List settlement batches."""
    from suanquan.use_cases.settlement_reading import load_batches
    from suanquan.use_cases.settlement_views import batch_object

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as conn:
            return [batch_object(one) for one in await load_batches(conn, scheme, payee)]

    emit(run_with_service(home, use), as_json=json)


@settlement_app.command()
def show(batch: BatchArgument, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """一个批次及其明细。One batch with its lines."""
    from suanquan.use_cases.settlement_reading import load_batch
    from suanquan.use_cases.settlement_views import batch_object, line_object
    from voucher.settlement import store

    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as conn:
            found = batch_object(await load_batch(conn, batch))
            return found | {"lines": [line_object(line) for line in await store.lines_of(conn, batch)]}

    emit(run_with_service(home, use), as_json=json)


@settlement_app.command()
def prepare(
    scheme: Annotated[str, typer.Option(help="方案 / scheme")],
    payee: Annotated[str, typer.Option(help="收款方，如 centre:sj01 / payee, such as centre:sj01")],
    period: Annotated[str, typer.Option(help="结算期间，如 2026Q4 / period, such as 2026Q4")],
    as_: AsOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """按账本列出应付明细，形成批次。Draw up what is due by the ledger, as a batch."""
    _act(home, json, as_, "prepare", key, lambda desk, by: desk.prepare(by, scheme, payee, period))


@settlement_app.command()
def attach(
    batch: BatchArgument,
    file: Annotated[Path, typer.Argument(help="材料文件 / the paper", exists=True, dir_okay=False)],
    kind: Annotated[str, typer.Option(help="材料类别，如 invoice、payment_proof / its kind")],
    as_: AsOption,
    invoice: Annotated[
        str | None, typer.Option(help="发票：号码,开票方代码,金额元 / of an invoice: NUMBER,ISSUER,YUAN")
    ] = None,
    line: Annotated[
        list[str] | None,
        typer.Option(help="发票的一行：费用类别,金额元,文字，可多次 / a line of the invoice: KIND,YUAN,TEXT, repeat"),
    ] = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """附上材料，保存其内容与散列。Attach a paper; its content and hash are kept."""
    from base64 import b64encode

    from suanquan.use_cases.evidence import add_paper, read_paper
    from suanquan.use_cases.settlement_views import batch_object

    given: dict[str, Any] = {"kind": kind, "name": file.name, "content": b64encode(file.read_bytes()).decode()}
    if invoice is not None:
        parts = [*invoice.split(","), "", "", ""]
        given["invoice"] = dict(zip(("number", "issuer", "amount_yuan"), parts, strict=False))
        if line:
            names, rows = ("kind", "amount_yuan", "text"), [[*one.split(",", 2), "", ""] for one in line]
            given["invoice"]["lines"] = [dict(zip(names, row, strict=False)) for row in rows]

    async def use(service: Service) -> dict[str, Any]:
        by = await by_of(service, as_, "evidence", key)
        return batch_object(await add_paper(service.journal, by, batch, read_paper(given)))

    emit(run_with_service(home, use), as_json=json)


@settlement_app.command()
def certify(batch: BatchArgument, as_: AsOption, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """据计量生成交付凭证。Make the delivery certificate from metering."""
    from suanquan.use_cases.evidence import certify as make
    from suanquan.use_cases.settlement_views import batch_object

    async def use(service: Service) -> dict[str, Any]:
        by = await by_of(service, as_, "evidence", None)
        return batch_object(await make(service.journal, service.rules, by, batch))

    emit(run_with_service(home, use), as_json=json)


@settlement_app.command()
def approve(
    batch: BatchArgument,
    as_: AsOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """批准批次（编制人以外的人）。Approve a batch; somebody else than who prepared it does."""
    _act(home, json, as_, "approve", key, lambda desk, by: desk.approve(by, batch))


@settlement_app.command("return")
def give_back(
    batch: BatchArgument,
    reason: ReasonOption,
    as_: AsOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """退回批次，明细可重新列入。Give a batch back; its lines are free again."""
    _act(home, json, as_, "return", key, lambda desk, by: desk.return_(by, batch, reason))


@settlement_app.command()
def pay(
    batch: BatchArgument,
    paid_on: Annotated[str, typer.Option(help="拨付日期 / day of payment")],
    reference: Annotated[str, typer.Option(help="银行回单号 / the bank's reference")],
    as_: AsOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记已拨付。Record that the treasury paid."""
    _act(home, json, as_, "pay", key, lambda desk, by: desk.pay(by, batch, paid_on, reference))


@settlement_app.command()
def demand(
    batch: BatchArgument,
    amount: Annotated[str, typer.Option(help="元 / yuan")],
    reason: ReasonOption,
    as_: AsOption,
    corrections: Annotated[
        bool, typer.Option("--corrections", help="因用量更正应退 / because usage was corrected")
    ] = False,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """要求退还已付款项。Demand back what was paid."""
    _act(
        home, json, as_, "demand", key, lambda desk, by: desk.demand(by, batch, amount, reason, corrections=corrections)
    )


@settlement_app.command()
def recover(
    batch: BatchArgument,
    amount: Annotated[str, typer.Option(help="元 / yuan")],
    reference: Annotated[str, typer.Option(help="银行回单号 / the bank's reference")],
    as_: AsOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记已收回的款项。Record what came back."""
    _act(home, json, as_, "recover", key, lambda desk, by: desk.recover(by, batch, amount, reference))


@settlement_app.command("bank-file")
def bank_file(
    batch: Annotated[list[str], typer.Argument(help="已批准的批次，可多个 / approved batches")],
    execute_on: Annotated[str, typer.Option(help="付款日 / day of payment")],
    output: Annotated[Path, typer.Option("-o", "--output", help="目录 / folder")],
    form: Annotated[str, typer.Option(help="csv 或 pain.001 / csv or pain.001")] = "csv",
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """生成付款文件：CSV 或 ISO 20022 pain.001。Make a file for the bank."""
    from suanquan.use_cases.payees import bank_file as make
    from suanquan.use_cases.settlements import read_day

    async def use(service: Service) -> tuple[str, bytes]:
        async with service.database.read() as conn:
            day = read_day(execute_on)
            return await make(conn, service.catalog.series, batch, form, day, service.now_us)

    name, body = run_with_service(home, use)
    _write(output / name, body, json)


@settlement_app.command()
def bundle(
    batch: BatchArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="ZIP 文件 / the ZIP file")],
    passphrase_file: PassphraseOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """导出批次的全部材料，附签名的散列清单。All evidence of a batch as a ZIP, with a signed list of hashes."""
    from suanquan.use_cases.evidence import bundle as make
    from suanquan.use_cases.settlement_reading import load_batch

    async def use(service: Service) -> bytes:
        async with service.database.read() as conn:
            return await make(conn, await load_batch(conn, batch), service.issuer)

    _write(output, run_with_service(home, use, passphrase_file, sign=True), json)


@payee_app.command("list")
def list_payees(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """列出收款方。List payees."""
    from suanquan.use_cases.settlement_reading import load_payees
    from suanquan.use_cases.settlement_views import payee_object

    async def use(service: Service) -> list[dict[str, Any]]:
        async with service.database.read() as conn:
            return [payee_object(one) for one in await load_payees(conn)]

    emit(run_with_service(home, use), as_json=json)


@payee_app.command("set")
def set_payee(
    payee: PayeeArgument,
    name: Annotated[str, typer.Option(help="户名 / name")],
    uscc: Annotated[str, typer.Option(help="统一社会信用代码 / its code")],
    account: Annotated[str, typer.Option(help="账号 / account number")],
    bank: Annotated[str, typer.Option(help="开户行 / bank")],
    bank_code: Annotated[str, typer.Option(help="12 位联行号 / CNAPS code")],
    as_: AsOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """登记收款账户，须由他人复核。Give a payee's account; somebody else must confirm it."""
    from suanquan.use_cases import payees

    given = {"name": name, "uscc": uscc, "account": account, "bank": bank, "bank_code": bank_code}
    _payee(home, json, as_, "payee", key, lambda service, by: payees.set_payee(service.journal, by, payee, given))


@payee_app.command()
def confirm(
    payee: PayeeArgument,
    as_: AsOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """复核收款账户。Confirm a payee's account."""
    from suanquan.use_cases import payees

    _payee(home, json, as_, "confirm", key, lambda service, by: payees.confirm_payee(service.journal, by, payee))


def _hold(name: str, text: str) -> None:
    def command(
        payee: PayeeArgument,
        reason: ReasonOption,
        as_: AsOption,
        key: KeyOption = None,
        home: HomeOption = DEFAULT_HOME,
        json: JsonOption = False,
    ) -> None:
        from suanquan.use_cases.payees import hold_payee

        suspend = name == "suspend"
        _payee(
            home, json, as_, name, key,
            lambda service, by: hold_payee(service.journal, by, payee, reason, suspend=suspend),
        )  # fmt: skip

    command.__doc__ = text
    payee_app.command(name)(command)


_hold("suspend", "暂停向收款方付款，其应收不变。Pay nothing to a payee; what it is due stays.")
_hold("resume", "恢复付款。Pay a payee again.")


def _act(
    home: Path, as_json: bool, person: str, kind: str, key: str | None,
    act: Callable[[Settlements, By], Awaitable[Batch]],
) -> None:  # fmt: skip
    from suanquan.use_cases.settlement_views import batch_object
    from suanquan.use_cases.settlements import Settlements

    async def use(service: Service) -> dict[str, Any]:
        by = await by_of(service, person, kind, key)
        return batch_object(await act(Settlements(service.journal, service.catalog.series), by))

    emit(run_with_service(home, use), as_json=as_json)


def _payee(
    home: Path, as_json: bool, person: str, kind: str, key: str | None,
    act: Callable[[Service, By], Awaitable[Payee]],
) -> None:  # fmt: skip
    from suanquan.use_cases.settlement_views import payee_object

    async def use(service: Service) -> dict[str, Any]:
        return payee_object(await act(service, await by_of(service, person, kind, key)))

    emit(run_with_service(home, use), as_json=as_json)


def _write(path: Path, body: bytes, as_json: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    emit({"file": str(path), "bytes": len(body)}, as_json=as_json)
    note(f"已写入 written: {path}")
