"""The whole service on PostgreSQL: the setting, the command line, and the path from a voucher to a verified ledger."""

import asyncio
import secrets
import time

import pytest

from suanquan.db.database import Database
from suanquan.db.place import Server
from suanquan.db.tables import lease
from suanquan.doctor import examine
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.service import open_service
from suanquan.settings import Settings, load_settings
from suanquan.use_cases import setup
from tests.back_ends import LOCKED, rows
from tests.contracts.test_lease import note
from tests.suanquan.command import suanquan, write_passphrase
from tests.suanquan.harness import PASSPHRASE, Agent, ProcessService, ThreadedService, give, install, usage

HOLDER = "91350100M000100Y43"


@pytest.fixture
def server(databases):
    """An empty database on the server."""
    place = databases.create("service")
    yield place
    databases.drop(place)


def settings_of(server):
    return Settings(sandbox=True, database_url=server.url)


def test_one_setting_takes_the_whole_path_to_postgresql(server, tmp_path):
    """A home with the setting is made, issues, receives usage, says the same when asked again, and verifies; no file holds data."""
    installation = install(tmp_path / "home", settings_of(server))
    with ThreadedService(installation.home) as service:
        service.call(give(service.service, HOLDER, "500", accounts=["lab"]))
        agent = Agent(service.url)
        records = [usage(number, account=("lab", "other")[number % 2]) for number in range(400)]
        answers = [agent.report_records(records, idempotency_key="k") for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        again = agent.report_records(records[:10], idempotency_key="again")
        assert again.content["duplicate"] == 10
        figures = service.figures()
    assert figures.statuses == {"sj01": {"accepted": 400, "duplicate": 10}}
    assert figures.debited > 0
    figures.assert_conserved()
    assert not installation.home.database.exists()


def test_commands_work_on_postgresql(server, tmp_path):
    """`init --database-url`, `ledger verify`, `ledger head`, `db upgrade`, `db roles` and `doctor`; the URL is kept in the settings."""
    passphrase = write_passphrase(tmp_path)
    common = ("--home", "home", "--passphrase-file", passphrase)
    made = suanquan("init", "--sandbox", *common, "--database-url", server.url, "--json", cwd=tmp_path)
    assert made.status == 0, made.err
    assert load_settings(tmp_path / "home/suanquan.toml").database_url == server.url
    head = suanquan("ledger", "head", "--home", "home", "--json", cwd=tmp_path)
    assert head.json["size"] == 1
    verified = suanquan("ledger", "verify", "--home", "home", "--json", cwd=tmp_path)
    assert verified.json["ok"]
    assert suanquan("db", "upgrade", "--home", "home", cwd=tmp_path).status == 0
    granted = suanquan("db", "roles", "--home", "home", "--app-role", 'a"b', cwd=tmp_path)
    assert 'GRANT SELECT, INSERT ON entry TO "a""b";' in granted.out
    checks = {check.name: check for check in examine(Home(tmp_path / "home"), passphrase)}
    assert "fsync = off" in checks["database"].found, "the server of these tests is told to be fast"


def test_another_home_does_not_take_over_a_database(server, tmp_path):
    """A database with a ledger in use belongs to the home that has its keys; an unfinished first try is taken up."""
    installation = install(tmp_path / "home", settings_of(server))
    with pytest.raises(ServiceError) as caught:
        setup.initialise(Home(tmp_path / "second"), settings_of(server), PASSPHRASE)
    assert caught.value.code == "database-in-use"
    installation.home.settings_file.unlink()
    assert setup.initialise(installation.home, settings_of(server), PASSPHRASE)


def test_a_lost_database_is_not_replaced(server, databases, tmp_path):
    """A home whose database is gone or empty says so."""
    home = install(tmp_path / "home", settings_of(server)).home
    databases.create("service")

    async def open_it():
        async with open_service(home):
            pass

    with pytest.raises(ServiceError) as caught:
        asyncio.run(open_it())
    assert caught.value.code == "database-missing"


def test_a_second_service_stands_by_and_takes_over(server, tmp_path):
    """Two services of one database: one answers, the other waits; when the first is killed the second answers within seconds."""
    installation = install(tmp_path / "home", settings_of(server))
    first, second = ProcessService(installation), ProcessService(installation)
    first.start()
    [(_, epoch)] = rows(server, f"SELECT owner, epoch FROM {lease.name}")
    second.start(standing_by=True)
    try:
        for _ in range(3):
            assert not second.answers()
            assert Agent(first.url).report_records([usage(1)], idempotency_key="1").status == 200
        first.kill()
        deadline = time.monotonic() + 10
        while not second.answers():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert Agent(second.url).report_records([usage(2)], idempotency_key="2").status == 200
        assert rows(server, f"SELECT epoch FROM {lease.name}") == [(epoch + 1,)]
    finally:
        assert second.stop() == 0
    [(free,)] = rows(server, "SELECT until_us <= extract(epoch FROM clock_timestamp()) * 1000000 FROM lease")
    assert free, "a service that stops lets the lease go"


async def test_a_command_beside_the_service_needs_no_lease(server, tmp_path):
    """The command line takes the exclusive transaction; the service notices and goes on."""
    home = (await asyncio.to_thread(install, tmp_path / "home", settings_of(server))).home
    async with open_service(home) as service, open_service(home) as command:
        for one in (service, command, service):
            await one.journal.transact(note)


async def opened(place):
    database = Database(place)
    try:
        async with database.read():
            pass
    finally:
        await database.close()


async def test_the_password_comes_from_its_file_and_is_shown_nowhere(databases, tmp_path):
    """It is read at each connect; a wrong one, none, and a file that is open to others are refused without showing it."""
    if databases.own is None:
        pytest.skip("a server that is not ours asks for what it likes")
    secret, file = "correct-" + secrets.token_hex(8), tmp_path / "password"
    owner = databases.create("password")
    rows(owner, f"DROP ROLE IF EXISTS {LOCKED}")
    rows(owner, f"CREATE ROLE {LOCKED} LOGIN PASSWORD '{secret}'")
    place = Server(databases.url("postgres", LOCKED), file)
    for text, mode, code in (
        (secret, 0o600, None),
        (secret + "\n", 0o600, None),
        ("wrong", 0o600, "storage-unavailable"),
        (secret, 0o644, "password-exposed"),
        (None, 0o600, "password-unreadable"),
    ):
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text, encoding="utf-8")
            file.chmod(mode)
        [said] = await asyncio.gather(opened(place), return_exceptions=True)
        assert getattr(said, "code", said) == code
        assert secret not in f"{said!r} {said and said.__cause__!r} {place!r} {place} {Database(place)!r}"
    databases.drop(owner)
