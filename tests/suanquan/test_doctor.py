"""`suanquan doctor` finds each fault that is put into a home, says what it found and gives one line of advice."""

import shutil
import sqlite3

import pytest

from suanquan.doctor import examine
from suanquan.home import write_secret
from tests.suanquan.command import suanquan
from tests.suanquan.harness import PASSPHRASE

CHECKS = [
    *("python", "sqlite", "disk", "packages", "home", "home-mode", "settings", "config", "retention"),
    *("database", "schema", "keys", "log-keys", "decision-keys", "passphrase"),
]


def append(path, text):
    path.write_text(path.read_text("utf-8") + text, encoding="utf-8")


def spoil_retention(home):
    append(home / "config/retention/retention.toml", "[nothing]\n")


def execute(home, statement):
    connection = sqlite3.connect(home / "suanquan.db")
    with connection:
        connection.execute(statement)
    connection.close()


def damage(home):
    """Overwrite every page after the second, as a failing disk does."""
    data = bytearray((home / "suanquan.db").read_bytes())
    for at in range(8192, len(data), 4096):
        data[at : at + 64] = b"\xde" * 64
    (home / "suanquan.db").write_bytes(data)


def remove_key(home):
    for path in (home / "keys").glob("*.pem"):
        path.unlink()


FAULTS = {
    "no home": (shutil.rmtree, {"home": "suanquan init --home"}),
    "home open to others": (lambda home: home.chmod(0o755), {"home-mode": "chmod 700"}),
    "settings are no TOML": (lambda home: append(home / "suanquan.toml", "port = ["), {"settings": "suanquan.toml"}),
    "unknown setting": (lambda home: append(home / "suanquan.toml", "colour = 1"), {"settings": "suanquan.toml"}),
    "broken scheme": (lambda home: append(home / "config/schemes/sandbox.toml", "x = 1"), {"config": "config"}),
    "no accelerators": (lambda home: shutil.rmtree(home / "config/accelerators"), {"config": "config"}),
    "no log keys": (lambda home: shutil.rmtree(home / "keys/log"), {"log-keys": "suanquan keys log"}),
    "no decision keys": (lambda home: shutil.rmtree(home / "keys/decisions"), {"decision-keys": "suanquan keys decisions"}),
    "no private key": (remove_key, {"keys": "backup"}),
    "key registry cut": (lambda home: (home / "keys/registry.json").write_text("{"), {"keys": "backup"}),
    "outdated schema": (lambda home: execute(home, "DELETE FROM alembic_version"), {"schema": "suanquan db upgrade"}),
    "newer schema": (lambda home: execute(home, "UPDATE alembic_version SET version_num = '9999'"), {"schema": "upgrade"}),
    "retention of nothing": (spoil_retention, {"retention": "retention.toml"}),
    "damaged database": (damage, {"database": "backup"}),
    "no database": (lambda home: (home / "suanquan.db").unlink(), {"database": "backup"}),
    "other passphrase": (lambda home: (home / "passphrase").write_text("a passphrase of another home"), {"passphrase": "0600"}),
    "open passphrase": (lambda home: (home / "passphrase").chmod(0o644), {"passphrase": "0600"}),
}  # fmt: skip


def test_a_sound_home_passes_every_check(installation):
    """Nothing is wrong with a home as `init` makes it."""
    found = examine(installation.home, installation.passphrase_file)
    assert [check.name for check in found] == CHECKS
    assert all(check.ok for check in found), found


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_remedy(name, installation):
    """The fault's own check fails and no other; what was found is told, and the advice names what to do."""
    put, expected = FAULTS[name]
    put(installation.home.path)
    bad = [check for check in examine(installation.home, installation.passphrase_file) if not check.ok]
    assert {check.name for check in bad} == set(expected)
    for check in bad:
        assert check.found
        assert expected[check.name] in check.fix
        assert "\n" not in check.fix


def test_no_passphrase_is_a_fault(installation):
    """Without a passphrase the service cannot sign, and the doctor says how to name one."""
    (bad,) = [check for check in examine(installation.home, None) if not check.ok]
    assert bad.name == "passphrase"
    assert "SUANQUAN_PASSPHRASE_FILE" in bad.found


def test_the_command_prints_a_line_a_check(installation, tmp_path):
    """Status 1 with any fault, 0 without; JSON for scripts, and a remedy under each fault for people."""
    arguments = ("doctor", "--home", installation.home.path, "--passphrase-file", installation.passphrase_file)
    sound = suanquan(*arguments, "--json", cwd=tmp_path)
    assert sound.status == 0
    assert [check["check"] for check in sound.json] == CHECKS
    assert all(set(check) == {"check", "ok", "found", "fix"} for check in sound.json)
    append(installation.home.path / "suanquan.toml", "colour = 1")
    broken = suanquan(*arguments, cwd=tmp_path)
    assert broken.status == 1
    lines = broken.out.splitlines()
    at = next(number for number, line in enumerate(lines) if "BAD" in line)
    assert "settings" in lines[at]
    assert "colour" in lines[at]
    assert lines[at + 1].strip().startswith("→")


def test_a_demo_home_has_its_passphrase_within(installation):
    """The demo's own passphrase file is used where no other is named."""
    write_secret(installation.home.path / "demo-passphrase", PASSPHRASE)
    assert all(check.ok for check in examine(installation.home, None))
