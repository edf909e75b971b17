"""`suanquan lease`: a centre that spends while it is cut off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanquan.cli.options import JsonOption
from suanquan.cli.output import emit, note

if TYPE_CHECKING:
    from suanquan.use_cases.lease_book import Book, Counter
    from voucher.lease import Lease

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

FileArgument = Annotated[Path, typer.Argument(help="租约文件 / the lease's file")]
JwksOption = Annotated[Path, typer.Option(help="缓存的签发方公钥集 / cached key set of the issuer")]
IssuerOption = Annotated[str, typer.Option(help="签发方 URI / whose keys they are")]
CentreOption = Annotated[str, typer.Option(help="本中心 / this centre")]
KeyOption = Annotated[Path, typer.Option(help="代理私钥 PEM（0600）/ private key of the centre's agent")]
UrlOption = Annotated[str, typer.Option(help="服务的公开地址 / public address of the service")]


@app.command()
def nonce(url: UrlOption, key: KeyOption, json: JsonOption = False) -> None:
    """取一个 nonce，交持券人制作证明。Get a nonce, for the holder's proof."""
    from metering.agent.keys import load_key
    from suanquan.use_cases.lease_client import Office

    found = Office(url, load_key(key)).post("/v1/nonces", {})
    if json:
        emit(found, as_json=True)
    else:
        typer.echo(found["nonces"][0])


@app.command()
def take(
    file: FileArgument,
    url: UrlOption,
    key: KeyOption,
    voucher: Annotated[str, typer.Option(help="券 / the voucher's token")],
    proof: Annotated[str, typer.Option(help="voucher present --lease 的结果 / as voucher present --lease makes it")],
    hours: Annotated[int, typer.Option(min=1, max=24, help="可离线使用的小时数 / hours that it may be spent")] = 24,
    json: JsonOption = False,
) -> None:
    """取得一笔租约，写入新文件。Have a lease set aside, and begin its file."""
    from metering.agent.keys import load_key
    from suanquan.use_cases.lease_book import create_book
    from suanquan.use_cases.lease_client import Office

    if file.exists():
        raise typer.BadParameter(f"{file} 已存在 / exists", param_hint="FILE")
    body = {"voucher": voucher, "proof": proof, "expires_in_s": hours * 3600}
    answer = Office(url, load_key(key)).post("/v1/leases", body)
    create_book(file, answer["token"])
    emit(answer, as_json=json)


@app.command()
def spend(
    file: FileArgument,
    amount: Annotated[str, typer.Option(help="数量（十进制）/ decimal amount")],
    reference: Annotated[str, typer.Option("--ref", help="作业 / job")],
    jwks: JwksOption,
    issuer: IssuerOption,
    centre: CentreOption,
    json: JsonOption = False,
) -> None:
    """离线使用一笔，不联网。Spend offline; no network."""
    import time

    from ledger.amount import parse_units
    from suanquan.use_cases.lease_book import read_book

    counter = _counter(file, jwks, issuer, centre)
    units = parse_units(amount, counter.lease(read_book(file)).asset)
    lease, book = counter.spend(units, reference, time.time_ns() // 1_000_000_000)
    emit(_shown(lease, book) | {"number": book.spends[-1].number}, as_json=json)


@app.command()
def show(
    file: FileArgument, jwks: JwksOption, issuer: IssuerOption, centre: CentreOption, json: JsonOption = False
) -> None:
    """核验租约，显示所余，不联网。Verify a lease and show what it has left; no network."""
    from suanquan.use_cases.lease_book import read_book

    book = read_book(file)
    emit(_shown(_counter(file, jwks, issuer, centre).lease(book), book), as_json=json)


@app.command()
def report(
    file: FileArgument,
    url: UrlOption,
    key: KeyOption,
    jwks: JwksOption,
    issuer: IssuerOption,
    centre: CentreOption,
    final: Annotated[bool, typer.Option("--final", help="并退回所余 / and give the rest back")] = False,
    json: JsonOption = False,
) -> None:
    """上报已使用的各笔；可重复。Report what was spent; it may be repeated."""
    from metering.agent.keys import load_key
    from suanquan.use_cases.lease_client import Office
    from suanquan.use_cases.lease_client import report as report_all

    found = report_all(Office(url, load_key(key)), _counter(file, jwks, issuer, centre), final=final)
    emit(found, as_json=json)
    if final:
        note("租约已结清，请勿再用。The lease is settled: spend it no more.")


def _counter(file: Path, jwks: Path, issuer: str, centre: str) -> Counter:
    from suanquan.use_cases.lease_book import Counter
    from suanquan.use_cases.public_keys import parse_any_jwks

    return Counter(file, parse_any_jwks(jwks.read_bytes(), str(jwks)), {}, issuer, centre)


def _shown(lease: Lease, book: Book) -> dict[str, Any]:
    from ledger.amount import format_units
    from metering.zones import rfc3339
    from voucher.lease import remaining

    return {
        "lease": lease.lease,
        "voucher": lease.voucher,
        "centre": lease.centre,
        "unit": lease.asset.code,
        "amount": format_units(lease.units, lease.asset),
        "remaining": format_units(remaining(lease, book.spends), lease.asset),
        "spent_until": rfc3339(lease.ends_at_s * 1_000_000),
        "report_until": rfc3339(lease.report_until_s * 1_000_000),
        "epoch": lease.epoch,
        "spends": len(book.spends),
        "unreported": len(book.waiting),
    }
