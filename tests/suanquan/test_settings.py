"""Settings: the file, the environment over it, and words for what is wrong with either."""

import pytest

from suanquan.errors import ServiceError
from suanquan.settings import Settings, load_settings, new_settings, settings_text


def refused(call):
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value


@pytest.fixture
def file(tmp_path):
    return tmp_path / "suanquan.toml"


def write(file, text):
    file.write_text(text, encoding="utf-8")
    return file


def test_what_is_written_is_read(file):
    """The file of a new home holds every setting and reads back as it was."""
    settings = new_settings(issuer="https://voucher.example.cn", sandbox=True, port=0)
    write(file, settings_text(settings))
    assert load_settings(file).model_dump() == settings.model_dump()
    assert all(f"\n{name} = " in settings_text(settings) for name in Settings.model_fields)


def test_the_environment_goes_over_the_file(file, monkeypatch):
    """SUANQUAN_PORT counts more than the file's port; other variables of that name space do not matter."""
    monkeypatch.setenv("SUANQUAN_PORT", "9001")
    monkeypatch.setenv("SUANQUAN_HOME", "/elsewhere")
    assert load_settings(write(file, "port = 8001\n")).port == 9001


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("colour = 1", "colour"),
        ('port = "many"', "port"),
        ("port = 65536", "port"),
        ('issuer = "me"', "issuer"),
        ('issuer = "urn:a b c"', "issuer"),
        ('public_url = "suanquan.example.cn"', "public_url"),
        ('public_url = "https://suanquan.example.cn/?a=b"', "public_url"),
        ("sandbox = 7", "sandbox"),
        ('database_url = "mysql://u@h/d"', "database_url"),
        ('database_url = "postgresql://u:secret@h/d"', "database_url"),
        ('database_url = "postgresql://u@h/d?password=secret"', "database_url"),
        ('database_url = "postgresql://u@h"', "database_url"),
        ('database_url = "postgresql://u@h/d?sslmode=require&options=-c"', "database_url"),
    ],
)
def test_a_faulty_setting_is_named(text, where, file):
    """The error tells the file and the setting, in Chinese and English."""
    error = refused(lambda: load_settings(write(file, text)))
    (finding,) = error.findings
    assert error.code == "settings-invalid"
    assert finding.where == f"{file}: {where}"
    assert finding.zh
    assert finding.en
    assert "secret" not in str(error) + repr(error.findings) + str(error.__cause__) + str(error.__context__)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql:///suanquan",
        "postgresql://suanquan@db.example.cn/suanquan",
        "postgresql://suanquan@[::1]:5433/suanquan?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://suanquan@one,two/suanquan?target_session_attrs=read-write",
        "postgresql://suanquan@/suanquan?host=/run/postgresql",
    ],
)
def test_a_database_is_named_as_postgresql_names_it(url, file):
    """Hosts, sockets and TLS are part of the URL; nothing means the database of the home."""
    assert load_settings(write(file, f'database_url = "{url}"\n')).database_url == url


@pytest.mark.parametrize("data", [b"port = [", b"port = 1\nport = 2", b"issuer = '\xff'"])
def test_a_file_that_is_no_toml_is_refused(data, file):
    """What cannot be read as TOML in UTF-8 is said to be that."""
    file.write_bytes(data)
    assert refused(lambda: load_settings(file)).code == "settings-malformed"


def test_settings_of_a_new_home_are_checked_before_it_is_made():
    """A faulty value is refused by name."""
    (finding,) = refused(lambda: new_settings(issuer="me")).findings
    assert finding.where == "issuer"


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "::1", "port": 9}, "http://[::1]:9"),
        ({"public_url": "https://suanquan.example.cn/"}, "https://suanquan.example.cn"),
        ({"public_url": "https://example.cn/suanquan"}, "https://example.cn/suanquan"),
    ],
)
def test_the_public_address_is_what_agents_sign(values, url):
    """The public address where one is set, else that of the listener; never with a slash at the end."""
    assert new_settings(**values).url == url
