"""Backups, restores and moves: nothing is lost, nothing damaged, foreign or old is taken, and the root stays the same."""

import asyncio
import contextlib
import sqlite3

import pytest

from ledger.log_store import root_at
from suanquan.db.database import Database
from suanquan.service import open_service
from suanquan.settings import Settings, load_settings, settings_text
from suanquan.use_cases.custody import back_up
from suanquan.use_cases.setup import bind_account
from tests.back_ends import rows
from tests.conftest import ALL
from tests.suanquan.command import HOLDER, SCHEME, suanquan
from tests.suanquan.harness import PASSPHRASE, ProcessService, install


class Keeper:
    """A home with a voucher, as an operator at a shell sees it, on either database."""

    def __init__(self, installation, cwd, new_place=None):
        self.installation, self.home, self.cwd = installation, installation.home, cwd
        self.path, self.new_place = installation.home.path, new_place
        self.keys = ("--passphrase-file", installation.passphrase_file)
        self.issue()

    @property
    def place(self):
        return self.home.place(load_settings(self.home.settings_file))

    def run(self, *words):
        return suanquan(*words, "--json", "--home", self.path, cwd=self.cwd)

    def ask(self, *words):
        done = self.run(*words)
        assert done.status == 0, done.err
        return done.json

    def refused(self, *words):
        done = self.run(*words)
        return done.status, done.err.split()[1].split("：")[0]

    def issue(self):
        done = self.run("voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--amount", "1", *self.keys)
        assert done.status == 0, done.err

    def publish(self):
        """Sign the head of the log: whoever sees it can tell an older database."""
        return self.ask("ledger", "checkpoint", *self.keys)

    def head(self):
        return self.ask("ledger", "head")

    def use(self, place):
        """Set the database that the home uses."""
        settings = load_settings(self.home.settings_file).model_copy(update={"database_url": getattr(place, "url", "")})
        self.home.settings_file.write_text(settings_text(settings), "utf-8")

    def make_room(self):
        """A restore on a server wants an empty database; a file is put aside by itself."""
        if self.new_place is not None:
            self.use(self.new_place())


@pytest.fixture
def keeper(installation, tmp_path):
    """On SQLite."""
    return Keeper(installation, tmp_path)


@pytest.fixture
def either(back_end, new_database, request, tmp_path):
    """On each database in turn."""
    if back_end.name == "sqlite":
        return request.getfixturevalue("keeper")
    settings = Settings(sandbox=True, database_url=new_database().url)
    return Keeper(install(tmp_path / "home", settings), tmp_path, new_database)


def test_a_backup_brings_back_what_it_held(either, tmp_path):
    """Everything as it was at the backup, every proof in it checked, on either database; writing goes on from there."""
    backup = tmp_path / "backup.db"
    written = either.ask("db", "backup", "-o", backup)
    assert written["root"] == either.head()["root"]
    before = either.place
    either.issue()
    later = either.head()
    assert later["size"] > written["size"]
    either.make_room()
    restored = either.ask("db", "restore", backup, "--older")
    assert (restored["size"], restored["root"]) == (written["size"], written["root"])
    assert either.head()["root"] == written["root"]
    assert either.ask("ledger", "verify")["ok"]
    either.issue()
    kept = restored["kept"] and tmp_path / restored["kept"]
    assert rows(kept or before, "SELECT size FROM log_state") == [(later["size"],)], (
        "the database that was there is kept"
    )


def test_a_backup_that_lacks_what_was_published_is_not_restored(either, tmp_path):
    """The last signed head stands beside the database: an older backup is refused with both sizes, and nothing changes. With
    `--older` it is restored, and then not written to until an officer accepts that."""
    backup = tmp_path / "backup.db"
    old = either.ask("db", "backup", "-o", backup)
    either.issue()
    published = either.publish()
    before, used = either.head(), either.place
    either.make_room()
    done = either.run("db", "restore", backup)
    assert (done.status, done.out) == (8, "")
    assert "backup-older" in done.err
    assert f"{old['size']} 条，与已知的 {published['size']} 条" in done.err
    assert f"has {old['size']} entries and does not continue the {published['size']}" in done.err
    assert rows(used, "SELECT size FROM log_state") == [(before["size"],)]
    either.ask("db", "restore", backup, "--older")
    assert either.head()["root"] == old["root"]
    for words in (
        ("voucher", "issue", "--scheme", SCHEME, "--holder", HOLDER, "--amount", "1"),
        ("serve", "--port", "0"),
    ):
        refused = (
            either.run(*words, *either.keys)
            if words[0] != "serve"
            else suanquan(*words, "--home", either.path, *either.keys, cwd=tmp_path)
        )
        assert refused.status == 8, refused.err
        assert "database-rolled-back" in refused.err
        assert f"{old['size']} 条，与已签发的 {published['size']} 条" in refused.err
    assert either.head()["size"] == old["size"]
    either.ask("db", "accept-rollback", "--officer", "李四", "--reason", "沪发改〔2026〕9号", *either.keys)
    either.issue()
    assert either.ask("ledger", "verify")["ok"]


def test_a_backup_that_lacks_what_the_database_has_is_not_restored(keeper, tmp_path):
    """Also what was not published yet was acknowledged: it is not given up by mistake."""
    backup = tmp_path / "backup.db"
    keeper.ask("db", "backup", "-o", backup)
    keeper.issue()
    before = keeper.head()
    assert keeper.refused("db", "restore", backup) == (8, "backup-older")
    assert keeper.head() == before


def test_the_newest_backup_is_restored_without_ado(either, tmp_path):
    """One that has all that was published needs no word more."""
    either.publish()
    backup = tmp_path / "backup.db"
    written = either.ask("db", "backup", "-o", backup)
    either.make_room()
    assert either.ask("db", "restore", backup)["root"] == written["root"]
    either.issue()
    either.publish()


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])


def change(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE balance SET credits_posted = credits_posted + 1")


def cut_the_tail(path):
    """The last entry gone."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER entry_no_delete")
        connection.execute("DELETE FROM entry WHERE seq = (SELECT max(seq) FROM entry)")
        connection.commit()


def spoil_the_head(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE log_state SET frontier = x'00'")


def empty(path):
    path.write_bytes(b"")


def name_another(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE log_state SET origin = 'urn:another/ledger/0'")


DAMAGES = [
    (cut, 8, "backup-unreadable"),
    (change, 8, "backup-damaged"),
    (name_another, 4, "backup-of-another-log"),
    (cut_the_tail, 8, "backup-damaged"),
    (empty, 8, "backup-unreadable"),
    (spoil_the_head, 8, "backup-unreadable"),
]


@pytest.mark.parametrize(("damage", "status", "code"), DAMAGES if ALL else DAMAGES[:3])
def test_a_backup_that_is_not_whole_is_refused(either, tmp_path, damage, status, code):
    """Cut short, changed in one number, empty or of another log: refused with its reason, and the home is as before."""
    backup = tmp_path / "backup.db"
    either.ask("db", "backup", "-o", backup)
    damage(backup)
    before, used = either.head(), either.place
    either.make_room()
    assert either.refused("db", "restore", backup, "--older") == (status, code)
    either.use(used)
    assert either.head() == before


def test_a_backup_never_replaces_a_file(keeper, tmp_path):
    """An older backup is not overwritten by accident, and a failed one leaves nothing behind."""
    backup = tmp_path / "backup.db"
    backup.write_text("precious")
    assert keeper.refused("db", "backup", "-o", backup) == (4, "file-exists")
    assert backup.read_text() == "precious"
    assert keeper.refused("db", "backup", "-o", tmp_path / "none" / "backup.db")[0] == 3
    assert not list(tmp_path.glob("*.part"))


def test_a_backup_replaces_a_lost_database(keeper, tmp_path):
    """Also where the database is gone or cannot be read at all."""
    backup = tmp_path / "backup.db"
    written = keeper.ask("db", "backup", "-o", backup)
    for loss in (lambda path: path.unlink(), cut):
        for companion in keeper.path.glob("suanquan.db-*"):
            companion.unlink()
        loss(keeper.path / "suanquan.db")
        keeper.ask("db", "restore", backup)
        assert keeper.head()["root"] == written["root"]


def test_a_running_service_keeps_its_database(keeper, installation, tmp_path):
    """While a service holds the writer's lease nothing is put in its database's place."""
    backup = tmp_path / "backup.db"
    with ProcessService(installation):
        keeper.ask("db", "backup", "-o", backup)
        assert keeper.refused("db", "restore", backup) == (7, "service-running")
    keeper.ask("db", "restore", backup)


@pytest.mark.parametrize("onto", ["file", "server"])
def test_a_backup_of_one_database_is_restored_on_the_other(either, databases, onto, tmp_path):
    """Every leaf is hashed again: from a file or a server to a file or a server, the root is the same to the byte."""
    backup = tmp_path / "backup.db"
    written = either.ask("db", "backup", "-o", backup)
    place = databases.create("onto") if onto == "server" else None
    either.use(place)
    restored = either.ask("db", "restore", backup)
    assert (restored["size"], restored["root"]) == (written["size"], written["root"])
    assert (either.head()["root"], either.ask("ledger", "verify")["root"]) == (written["root"], written["root"])
    either.issue()
    if place is not None:
        databases.drop(place)


def test_a_backup_is_of_one_moment_while_others_write(either, tmp_path):
    """Made under load it holds a prefix of the log with everything that was acknowledged before, and it verifies."""

    async def run():
        async with open_service(either.home, PASSPHRASE) as service:
            writing = asyncio.create_task(write(service))
            await asyncio.sleep(0.1)
            acknowledged = service.journal.state.size
            beside = Database(either.place)
            made = await back_up(beside, tmp_path / "backup.db", lambda _done, _total: None)
            await beside.close()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            async with service.database.read() as connection:
                return acknowledged, made, await root_at(connection, made["size"])

    async def write(service):
        for number in range(10_000):
            await bind_account(service.journal, "sj01", f"account {number}", HOLDER)

    acknowledged, made, root = asyncio.run(run())
    assert made["size"] >= acknowledged
    assert made["root"] == root.hex()
    either.make_room()
    assert either.ask("db", "restore", tmp_path / "backup.db", "--older")["root"] == made["root"]


def test_a_move_keeps_the_root(keeper, databases, tmp_path):
    """From a file to a server: the same head, all of it verified there, the file put aside; vouchers and writing go on."""
    target = databases.create("moved")
    keeper.publish()
    before, vouchers = keeper.head(), keeper.ask("voucher", "list")
    done = keeper.run("db", "move", "--to", target.url)
    assert done.status == 0, done.err
    assert (done.json["size"], done.json["root"]) == (before["size"], before["root"])
    assert f'database_url = "{target.url}"' in done.err
    assert not keeper.home.database.exists()
    keeper.use(target)
    assert (keeper.head(), keeper.ask("voucher", "list")) == (before, vouchers)
    assert keeper.ask("ledger", "verify")["root"] == before["root"]
    keeper.issue()
    keeper.publish()
    assert rows(tmp_path / done.json["kept"], "SELECT size FROM log_state") == [(before["size"],)]
    assert keeper.refused("db", "move", "--to", databases.url("elsewhere")) == (4, "database-moved-already")
    databases.drop(target)


def test_a_move_that_cannot_be_whole_changes_nothing(keeper, databases, tmp_path):
    """Onto a database in use, onto none, beside a running service, or of a damaged file: refused, and the file is used on."""
    target, before = databases.create("refusing"), keeper.head()
    with ProcessService(keeper.installation):
        assert keeper.refused("db", "move", "--to", target.url) == (7, "service-running")
    rows(target, "INSERT INTO nonce VALUES ('k', 'n', 1)")
    assert keeper.refused("db", "move", "--to", target.url) == (4, "database-not-empty")
    assert keeper.refused("db", "move", "--to", "postgresql://postgres@/x?host=/none") == (7, "storage-unavailable")
    assert keeper.head() == before
    rows(target, "DELETE FROM nonce")
    with contextlib.closing(sqlite3.connect(keeper.home.database)) as connection:
        connection.execute("UPDATE balance SET credits_posted = credits_posted + 1")
        connection.commit()
    assert keeper.refused("db", "move", "--to", target.url) == (8, "move-failed")
    assert keeper.home.database.exists()
    databases.drop(target)


def test_verification_names_the_place_and_exits_with_8(either):
    """A number that somebody changes in the database: exit status 8 and the place; put right again, status 0."""
    for change, undo, place in (
        ("credits_posted = credits_posted + 1", "credits_posted = credits_posted - 1", "balance of account"),
        ("floor = 7", "floor = NULL", "balance of account"),
    ):
        assert either.ask("ledger", "verify")["ok"]
        rows(either.place, f"UPDATE balance SET {change} WHERE account = 1")
        done = either.run("ledger", "verify")
        assert done.status == 8
        assert done.json["fault"]["where"].startswith(place)
        rows(either.place, f"UPDATE balance SET {undo} WHERE account = 1")
    rows(either.place, "INSERT INTO dated_day VALUES (1, 0, 1, 5, 5)")
    done = either.run("ledger", "verify")
    assert (done.status, done.json["fault"]["where"]) == (8, "dated_day, account 1")
