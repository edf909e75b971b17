"""Backups, restores and moves: nothing is lost, nothing damaged or foreign is taken, and the root stays the same."""

import sqlite3

import pytest

from tests.suanquan.command import HOLDER, SCHEME, suanquan
from tests.suanquan.harness import ProcessService


class Keeper:
    """A home with a voucher, as an operator at a shell sees it."""

    def __init__(self, installation, cwd):
        self.path, self.cwd = installation.home.path, cwd
        self.keys = ("--passphrase-file", installation.passphrase_file)
        self.issue()

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

    def head(self):
        return self.ask("ledger", "head")


@pytest.fixture
def keeper(installation, tmp_path):
    return Keeper(installation, tmp_path)


def test_a_backup_brings_back_what_it_held(keeper, tmp_path):
    """Everything as it was at the backup, every proof in it checked; the database that was there is kept."""
    backup = tmp_path / "backup.db"
    written = keeper.ask("db", "backup", "-o", backup)
    assert written["root"] == keeper.head()["root"]
    keeper.issue()
    later = keeper.head()
    assert later["size"] > written["size"]
    restored = keeper.ask("db", "restore", backup)
    assert (restored["size"], restored["root"]) == (written["size"], written["root"])
    assert keeper.head()["root"] == written["root"]
    assert keeper.ask("ledger", "verify")["ok"]
    keeper.issue()
    with sqlite3.connect(restored["kept"]) as kept:
        assert kept.execute("SELECT size FROM log_state").fetchall() == [(later["size"],)]


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])


def change(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE balance SET credits_posted = credits_posted + 1")


def empty(path):
    path.write_bytes(b"")


def name_another(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE log_state SET origin = 'urn:another/ledger/0'")


@pytest.mark.parametrize(
    ("damage", "status", "code"),
    [
        (cut, 8, "backup-unreadable"),
        (empty, 8, "backup-unreadable"),
        (change, 8, "backup-damaged"),
        (name_another, 4, "backup-of-another-log"),
    ],
)
def test_a_backup_that_is_not_whole_is_refused(keeper, tmp_path, damage, status, code):
    """Cut short, changed in one number, empty or of another log: refused with its reason, and the home is as before."""
    backup = tmp_path / "backup.db"
    keeper.ask("db", "backup", "-o", backup)
    damage(backup)
    before = keeper.head()
    assert keeper.refused("db", "restore", backup) == (status, code)
    assert keeper.head() == before


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
