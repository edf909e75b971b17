"""Making a home: for its owner alone, whole or to be taken up again, and never over what is there."""

import asyncio
import json
import re
import stat

import pytest

from ledger.errors import DomainError
from suanquan.home import Home, packaged_config, read_passphrase, write_secret
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup
from tests.suanquan.harness import PASSPHRASE

SETTINGS = Settings(sandbox=True)


def refused(call):
    with pytest.raises(DomainError) as caught:
        call()
    return caught.value.code


def files(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def test_a_new_home_is_its_owners_alone(home):
    """The folder is 0700 and everything secret in it 0600; a folder that was there, empty and open, is closed."""
    home.path.mkdir(mode=0o755)
    setup.initialise(home, SETTINGS, PASSPHRASE)
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    keys = [path for path in home.keys.rglob("*") if path.is_file()]
    secret = [home.database, home.settings_file, home.log_head, *keys]
    assert [stat.S_IMODE(path.stat().st_mode) for path in secret] == [0o600] * len(secret)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (home.keys, home.log_keys)] == [0o700] * 2


def test_the_open_database_is_closed_to_others(installation):
    """WAL and shared memory have the mode of the database while the service works."""

    async def modes():
        async with open_service(installation.home) as service:
            await setup.bind_account(service.journal, "sj01", "alpha", "91350100M000100Y43")
            return {path.name: stat.S_IMODE(path.stat().st_mode) for path in installation.home.path.glob("*.db*")}

    assert asyncio.run(modes()) == dict.fromkeys(("suanquan.db", "suanquan.db-wal", "suanquan.db-shm"), 0o600)


def test_private_keys_are_encrypted_at_rest(home):
    """The key file opens with the passphrase alone; the registry holds public parts and no passphrase is kept."""
    setup.initialise(home, SETTINGS, PASSPHRASE)
    (pem,) = home.keys.glob("*.pem")
    assert b"ENCRYPTED PRIVATE KEY" in pem.read_bytes()
    assert home.load_signing_key(PASSPHRASE)
    assert refused(lambda: home.load_signing_key(b"another passphrase")) == "key-unreadable"
    assert not any(PASSPHRASE in data for data in files(home.path).values())


def test_the_token_is_kept_as_a_digest(home):
    """What `init` shows once is nowhere in the home."""
    token = setup.initialise(home, SETTINGS, PASSPHRASE).encode()
    assert not any(token in data for data in files(home.path).values())


def test_a_home_holds_the_reviewed_configuration(home):
    """Schemes, prices and registers are copied byte for byte, to be reviewed and changed by the operator."""
    setup.initialise(home, SETTINGS, PASSPHRASE)
    shipped = packaged_config()
    assert {path.relative_to(home.config): data for path, data in files(home.config).items()} == {
        path.relative_to(shipped): data for path, data in files(shipped).items()
    }


def test_a_finished_home_is_left_alone(home):
    """A second `init` is refused and changes no byte."""
    setup.initialise(home, SETTINGS, PASSPHRASE)
    before = files(home.path)
    assert refused(lambda: setup.initialise(home, SETTINGS, PASSPHRASE)) == "home-exists"
    assert files(home.path) == before


def test_lost_settings_cost_nothing_else(home):
    """Without its settings file a home is taken up again: same keys, same ledger, the operator's own configuration."""
    setup.initialise(home, SETTINGS, PASSPHRASE)
    scheme = home.config / "schemes/sandbox.toml"
    scheme.write_text(scheme.read_text("utf-8") + "# reviewed\n", encoding="utf-8")
    kept = {path: data for path, data in files(home.path).items() if path.parent in {home.keys, scheme.parent}}
    home.settings_file.unlink()
    assert setup.initialise(home, SETTINGS, PASSPHRASE)
    assert kept.items() <= files(home.path).items()


@pytest.mark.parametrize(
    ("settings", "passphrase", "code"),
    [
        (SETTINGS, b"another passphrase", "key-unreadable"),
        (Settings(issuer="urn:another:issuer"), PASSPHRASE, "home-of-another-issuer"),
    ],
)
def test_an_unfinished_home_is_not_mixed_with_another(settings, passphrase, code, home):
    """Going on with another passphrase or issuer is refused; the keys stay."""
    setup.initialise(home, SETTINGS, PASSPHRASE)
    home.settings_file.unlink()
    before = files(home.keys)
    assert refused(lambda: setup.initialise(home, settings, passphrase)) == code
    assert files(home.keys) == before
    assert not home.settings_file.exists()


def test_secrets_are_written_whole(tmp_path):
    """A secret file is 0600 from its first byte and replaced in one step."""
    file = tmp_path / "secret"
    file.write_bytes(b"old")
    file.chmod(0o644)
    write_secret(file, b"new")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_a_passphrase_is_read_without_its_line_end(tmp_path):
    """An editor's newline is no part of it."""
    write_secret(tmp_path / "passphrase", b"correct horse battery\n")
    assert read_passphrase(tmp_path / "passphrase") == b"correct horse battery"


def test_a_registry_that_is_no_json_is_named(home):
    """The file at fault is in the message."""
    setup.initialise(home, SETTINGS, PASSPHRASE)
    registry = home.keys / "registry.json"
    assert json.loads(registry.read_bytes())
    registry.write_text("{")
    with pytest.raises(DomainError, match=re.escape(str(registry))) as caught:
        home.load_registry()
    assert caught.value.code == "key-registry-malformed"
