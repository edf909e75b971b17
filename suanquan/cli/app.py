"""Every command and group of `suanquan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suanquan.cli.account import app as account_app
from suanquan.cli.agent import app as agent_app
from suanquan.cli.audit import app as audit_app
from suanquan.cli.bench import app as bench_app
from suanquan.cli.books import app as books_app
from suanquan.cli.centre import app as centre_app
from suanquan.cli.centre_register import app as centre_register
from suanquan.cli.claim import claim_app, receipt_app
from suanquan.cli.custody import app as custody_app
from suanquan.cli.entering import token_file
from suanquan.cli.findings import app as findings_app
from suanquan.cli.hold import app as hold_app
from suanquan.cli.keys import app as keys_app
from suanquan.cli.lease import app as lease_app
from suanquan.cli.ledger import app as ledger_app
from suanquan.cli.ledger import db_app
from suanquan.cli.log import accept_rollback, log_keys
from suanquan.cli.log import app as log_app
from suanquan.cli.options import DEFAULT_HOME, HomeOption, JsonOption, PassphraseOption
from suanquan.cli.output import emit, emit_summary, note
from suanquan.cli.procedure import application_app, officer_app, round_app
from suanquan.cli.programme import app as programme_app
from suanquan.cli.sandbox import app as sandbox_app
from suanquan.cli.scheme import app as scheme_app
from suanquan.cli.settlement import payee_app, settlement_app
from suanquan.cli.subsidy import app as subsidy_app
from suanquan.cli.usage import app as usage_app
from suanquan.cli.voucher import app as voucher_app

app = typer.Typer(
    name="suanquan",
    help="算券：算力券的签发、计量、记账与核验。compute vouchers: issue, meter, record, verify.",
    no_args_is_help=True,
    rich_markup_mode=None,  # the rich help loads 400 ms of formatters
    pretty_exceptions_enable=False,
    add_completion=True,
)


@app.callback()
def root(
    token: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            envvar="SUANQUAN_TOKEN_FILE",
            help="办理人的令牌或会话文件（0600）/ token or session of whoever acts",
        ),
    ] = None,
) -> None:
    """算券：算力券的签发、计量、记账与核验。compute vouchers: issue, meter, record, verify."""
    token_file.set(token)


app.add_typer(scheme_app, name="scheme", help="方案 / schemes")
app.add_typer(voucher_app, name="voucher", help="算力券 / vouchers")
app.add_typer(keys_app, name="keys", help="签发密钥 / issuer keys")
centre_app.add_typer(centre_register)
app.add_typer(centre_app, name="centre", help="算力中心 / computing centres")
app.add_typer(agent_app, name="agent", help="中心侧代理 / the centre's agent")
ledger_app.add_typer(books_app)
ledger_app.add_typer(log_app)
db_app.command()(accept_rollback)
keys_app.command("log")(log_keys)
db_app.add_typer(custody_app)
app.add_typer(usage_app, name="usage", help="用量：待核、更正、导出 / usage: waiting, corrections, exports")
app.add_typer(findings_app, name="findings", help="核查提示与复核 / findings and their review")
app.add_typer(ledger_app, name="ledger", help="账本 / the ledger")
app.add_typer(db_app, name="db", help="数据库 / the database")
app.add_typer(subsidy_app, name="subsidy", help="补贴条款 / subsidy clauses")
app.add_typer(round_app, name="round", help="申报轮次 / rounds of applications")
app.add_typer(application_app, name="application", help="申报与办理 / applications and their steps")
app.add_typer(officer_app, name="officer", help="办理人 / who acts in procedures")
app.add_typer(claim_app, name="claim", help="兑付申请与目标责任书 / redemption claims and target agreements")
app.add_typer(receipt_app, name="receipt", help="作业收据与争议 / receipts of jobs, and disputes")
app.add_typer(settlement_app, name="settlement", help="结算批次 / settlement batches")
app.add_typer(payee_app, name="payee", help="收款方 / payees")
app.add_typer(audit_app, name="audit", help="审计日志 / who did and saw what")
app.add_typer(account_app, name="account", help="账号与角色 / accounts and their roles")
app.add_typer(programme_app, name="programme", help="方案的预算与额度 / budgets and allotments of schemes")
app.add_typer(hold_app, name="hold", help="冻结 / holds of vouchers")
app.add_typer(lease_app, name="lease", help="离线租约（中心）/ offline leases of a centre")
app.add_typer(sandbox_app, name="sandbox", help="沙箱 / the sandbox")
app.add_typer(hold_app, name="hold", help="冻结 / holds of vouchers")
app.add_typer(lease_app, name="lease", help="离线租约（中心）/ offline leases of a centre")
app.add_typer(bench_app, name="bench", help="性能测量 / measurements")


@app.command()
def init(
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    issuer: Annotated[str, typer.Option(help="签发方 URI / issuer URI")] = "urn:suanquan:sandbox",
    sandbox: Annotated[bool, typer.Option(help="沙箱 / a sandbox home")] = False,
    database_url: Annotated[
        str,
        typer.Option(
            envvar="SUANQUAN_DATABASE_URL",
            help="PostgreSQL 数据库，不写则内嵌 / a PostgreSQL database instead of the embedded one",
        ),
    ] = "",
    database_password_file: Annotated[
        Path | None,
        typer.Option(envvar="SUANQUAN_DATABASE_PASSWORD_FILE", help="其口令文件（0600）/ its password file (0600)"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """新建数据目录、密钥、数据库与管理令牌。Make a home with keys, database and an administrator's token."""
    import asyncio

    from suanquan.home import Home, read_passphrase
    from suanquan.settings import new_settings
    from suanquan.use_cases.first_account import secret_of_home
    from suanquan.use_cases.setup import FIRST, initialise

    settings = new_settings(
        issuer=issuer,
        sandbox=sandbox,
        database_url=database_url,
        database_password_file=str(database_password_file.absolute()) if database_password_file else "",
    )
    token = initialise(Home(home), settings, read_passphrase(passphrase_file))
    secret = asyncio.run(secret_of_home(Home(home)))
    emit({"home": str(home), "token": token, "account": FIRST, "secret": secret}, as_json=json)
    note(
        "令牌和一次性密码只显示这一次，请妥善保存。The token and the one-time secret are shown only this once; keep them."
    )


@app.command()
def serve(
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseOption = None,
    host: Annotated[str | None, typer.Option(help="监听地址 / address")] = None,
    port: Annotated[int | None, typer.Option(help="端口 / port", min=0, max=65535)] = None,
) -> None:
    """运行服务。Run the service."""
    from suanquan.cli.options import demo_passphrase
    from suanquan.home import Home, read_passphrase
    from suanquan.server import run

    opened = Home(home).require()
    run(opened, read_passphrase(passphrase_file or demo_passphrase(opened)), host=host, port=port)


@app.command()
def doctor(home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseOption = None, json: JsonOption = False) -> None:
    """诊断，每个问题给出一行处理办法。Diagnose; one line of advice per fault."""
    from suanquan.doctor import examine
    from suanquan.home import Home

    checks = examine(Home(home), passphrase_file)
    if json:
        emit(
            [{"check": check.name, "ok": check.ok, "found": check.found, "fix": check.fix} for check in checks],
            as_json=True,
        )
    else:
        for check in checks:
            print(f"{'正常 ok ' if check.ok else '问题 BAD'}  {check.name}: {check.found}")
            if not check.ok:
                print(f"          → {check.fix}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def demo(
    home: HomeOption = DEFAULT_HOME,
    once: Annotated[bool, typer.Option("--once", help="跑完即退出 / end after the run")] = False,
    port: Annotated[int, typer.Option(help="端口，0 为任意 / port, 0 for any", min=0, max=65535)] = 8080,
    trace: Annotated[Path | None, typer.Option(help="真实用量文件 / a real usage file")] = None,
    source: Annotated[str, typer.Option(help="文件来源 / its source")] = "sacct",
    map_: Annotated[list[str] | None, typer.Option("--map", help="字段=列 / field=column")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="字段=值 / field=value")] = None,
    timezone: Annotated[str | None, typer.Option(help="无时区时间的时区 / zone of naive times")] = None,
    delimiter: Annotated[str | None, typer.Option(help="分隔符 / delimiter")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="无表头文件的列 / columns of a file without header")
    ] = None,
    step: Annotated[str | None, typer.Option(help="gauge-csv 每行时长 / how long a level holds")] = None,
    json: JsonOption = False,
) -> None:
    """演示整条链路：签发、上报、扣减、核验。Show the whole chain on an embedded database."""
    from suanquan.cli.sources import source_options
    from suanquan.demo import Demo, run
    from suanquan.home import Home

    options = source_options(source, map_, set_, timezone, delimiter, format_, step) if trace else None
    run(
        Demo(Home(home), port, trace, options),
        stay=not once,
        announce=note,
        show=lambda s: emit_summary(s, as_json=json),
    )
