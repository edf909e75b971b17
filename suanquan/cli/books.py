"""`suanquan ledger …`: what officers ask of the books and do to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, run_with_service
from suanquan.cli.output import emit

if TYPE_CHECKING:
    from ledger.entry import Entry
    from ledger.journal import Journal
    from ledger.sql import Connection
    from suanquan.service import Service
    from suanquan.use_cases.books import Order

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

EventArgument = Annotated[str, typer.Argument(help="事件编号 / event id")]
SeqArgument = Annotated[int, typer.Argument(help="分录序号 / number of the entry")]
AccountArgument = Annotated[str, typer.Argument(help="账户名 / name of the account")]
OfficerOption = Annotated[str, typer.Option("--officer", help="经办人 / who does this")]
ReasonOption = Annotated[str, typer.Option("--reason", help="理由与文号 / reason, with the authority's reference")]
KeyOption = Annotated[str | None, typer.Option("--key", help="幂等键 / makes the request repeatable")]


@app.command()
def balance(
    account: AccountArgument,
    at: Annotated[str | None, typer.Option(help="记录时刻 / as recorded until then")] = None,
    effective: Annotated[str | None, typer.Option(help="业务时刻 / by what is dated until then")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """账户余额，任一时刻。Balance of an account, at any moment."""
    from suanquan.use_cases.books import account_balance

    _read(home, json, lambda conn: account_balance(conn, account, at, effective))


@app.command()
def lines(
    account: AccountArgument,
    before: Annotated[
        str | None, typer.Option(help="上页的 next，或时刻 / `next` of the page before, or a moment")
    ] = None,
    limit: Annotated[int, typer.Option(help="至多几条 / at most so many", min=1, max=1000)] = 50,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """账户明细，由新到旧。Entries of an account, newest first."""
    from suanquan.use_cases.books import account_lines

    _read(home, json, lambda conn: account_lines(conn, account, before, limit))


@app.command()
def event(event_id: EventArgument, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """一个请求的结果。What became of a request."""
    from suanquan.use_cases.books import event_fate

    _read(home, json, lambda conn: event_fate(conn, event_id))


@app.command()
def limit(
    account: AccountArgument,
    officer: OfficerOption,
    reason: ReasonOption,
    floor: Annotated[str | None, typer.Option(help="可用余额下限 / least that may be available")] = None,
    ceiling: Annotated[str | None, typer.Option(help="余额上限（含在途）/ most, with what is incoming")] = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """设定账户上下限；不写者不限。Set an account's limits; what is not given is open."""
    from suanquan.use_cases.books import Order, limit_account

    _act(home, json, Order(officer, reason, key), lambda j, o: limit_account(j, o, account, floor, ceiling))


def _restriction(name: str, text: str) -> None:
    def command(
        account: AccountArgument,
        officer: OfficerOption,
        reason: ReasonOption,
        key: KeyOption = None,
        home: HomeOption = DEFAULT_HOME,
        json: JsonOption = False,
    ) -> None:
        from suanquan.use_cases.books import Order, restrict_account

        _act(home, json, Order(officer, reason, key), lambda j, o: restrict_account(j, o, account, name))

    command.__doc__ = text
    app.command(name)(command)


_restriction("freeze", "冻结账户：不再新增支出与冻结。Freeze an account: no new debits or holds.")
_restriction("legal-hold", "司法冻结：任何支出都停止。Put an account under a legal hold: every debit stops.")
_restriction("free", "解除冻结。Lift a freeze or a legal hold.")
_restriction("close", "销户（须无余额）。Close an account that has nothing, for ever.")


@app.command()
def reverse(
    event_id: EventArgument,
    officer: OfficerOption,
    reason: ReasonOption,
    amount: Annotated[str | None, typer.Option(help="部分冲正 / take back a part")] = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """冲正一笔分录，至多冲回其未冲部分。Take back a posting, never more than is left of it."""
    from suanquan.use_cases.books import Order, reverse_event

    _act(home, json, Order(officer, reason, key), lambda j, o: reverse_event(j, o, event_id, amount))


@app.command("close-period")
def close_period(
    month: Annotated[str, typer.Argument(help="月份，如 2026-10 / month")],
    officer: OfficerOption,
    reason: ReasonOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """结账：该月及以前不再入账。Close a month and all before it."""
    from suanquan.use_cases.books import Order, close_month

    _act(home, json, Order(officer, reason, key), lambda j, o: close_month(j, o, month))


@app.command()
def erase(
    seq: SeqArgument,
    officer: OfficerOption,
    reason: ReasonOption,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """删除分录的私密内容，证明不变。Drop an entry's private content; every proof stays."""
    from suanquan.use_cases.books import Order, erase_payload

    _act(home, json, Order(officer, reason, key), lambda j, o: erase_payload(j, o, seq))


def _read(home: Path, as_json: bool, ask: Callable[[Connection], Awaitable[dict[str, Any]]]) -> None:
    async def use(service: Service) -> dict[str, Any]:
        async with service.database.read() as connection:
            return await ask(connection)

    emit(run_with_service(home, use), as_json=as_json)


def _act(home: Path, as_json: bool, order: Order, act: Callable[[Journal, Order], Awaitable[Entry]]) -> None:
    async def use(service: Service) -> dict[str, Any]:
        entry = await act(service.journal, order)
        return {"seq": entry.seq, "event_id": entry.event_id.hex(), "repeated": entry.replayed}

    emit(run_with_service(home, use), as_json=as_json)
