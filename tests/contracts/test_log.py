"""The log on PostgreSQL: signed, proved, exported and stated as on SQLite, and kept from going back."""

import asyncio
import runpy
import time

import pytest

from ledger.checkpoint import Checkpoint
from ledger.log_store import newest_head, set_cosigned
from ledger.policy import Policy
from ledger.receipt import check_receipt
from ledger.statement import Statement, check
from suanquan.errors import ServiceError
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases.export_log import export_log
from suanquan.use_cases.receipts import prove_entry
from suanquan.use_cases.statements import make_statement
from tests.shared_data import ROOT
from tests.suanquan.command import HOLDER, SCHEME
from tests.suanquan.harness import PASSPHRASE, install
from voucher.issuance import IssueRequest


@pytest.fixture
def home(databases, tmp_path):
    place = databases.create("log")
    yield install(tmp_path / "home", Settings(sandbox=True, database_url=place.url)).home
    databases.drop(place)


def test_everything_that_leaves_the_log_holds(home, tmp_path):
    """Heads, a receipt, a statement and an export, with enough entries for full tiles; the grades of heads are told apart."""
    tool = runpy.run_path(str(ROOT / "tools/verify_log.py"))

    async def run():
        async with open_service(home, PASSPHRASE) as service:
            issued = [await service.issue(SCHEME, IssueRequest(HOLDER, "CNY", "100")) for _ in range(160)]
            head = await service.log.sign()
            async with service.database.write() as conn:
                await set_cosigned(conn, head.size, head.note, witnessed=True)
            receipt = await prove_entry(service.log, 200)
            account = f"voucher/{issued[77].jti}"
            statement = await make_statement(
                service.log, service.journal, time.time_ns(), "auditor", account, None, None
            )
            exported = await export_log(service.log, tmp_path / "export", lambda _done, _total: None)
            async with service.database.read() as conn:
                return (
                    head,
                    await newest_head(conn, witnessed=True),
                    receipt,
                    statement,
                    exported,
                    service.log.verifiers,
                )

    head, witnessed, receipt, statement, exported, (key, _) = asyncio.run(run())
    policy = Policy.of_logs(key)
    assert (witnessed.size, witnessed.witnessed) == (head.size, 1)
    assert head.size > 256
    assert check_receipt(receipt, policy).entry.seq == 200
    assert check(Statement.parse(statement), policy).sums.after == 100_000_000
    size, root = tool["check_export"](tmp_path / "export", tool["parse_key"](str(key)))
    assert (size, root.hex()) == (exported["size"], exported["root"])


def test_a_database_that_lacks_the_head_is_not_written_to(home):
    """The head file beside the settings knows more than the server: nothing is written."""

    async def write():
        async with open_service(home, PASSPHRASE) as service:
            await service.issue(SCHEME, IssueRequest(HOLDER, "CNY", "100"))
            await service.log.sign()
            return service.log

    log = asyncio.run(write())
    ahead = log.keys.sign_checkpoint(Checkpoint(log.name, 10_000, bytes(32)), 1)
    home.log_head.write_text(str(ahead), "utf-8")
    with pytest.raises(ServiceError, match="10000 条"):
        asyncio.run(write())
