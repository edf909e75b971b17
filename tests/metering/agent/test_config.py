"""The agent's configuration is read strictly: what it does not know it refuses, by name and file."""

import pytest

from metering.agent.config import load_config
from metering.errors import MeteringError

GOOD = """
base_url = "https://quan.example.cn/suanquan"
centre = "sj01"
source = "urn:centre:sj01:agent:slurm-1"
key_file = "agent.pem"
spool = "/var/lib/suanquan/spool.db"
interval_s = 30
[collect]
kind = "sacct"
partitions = ["gpu"]
"""


def read(tmp_path, text):
    path = tmp_path / "agent.toml"
    path.write_text(text, "utf-8")
    return load_config(path)


def test_a_good_file_says_what_it_says(tmp_path):
    """Paths are relative to the file's folder, the source's own table is passed on untouched, limits have defaults."""
    config = read(tmp_path, GOOD)
    assert config.key_file == tmp_path / "agent.pem"
    assert str(config.spool) == "/var/lib/suanquan/spool.db"
    assert config.interval_s == 30
    assert config.collect == {"kind": "sacct", "partitions": ["gpu"]}
    assert config.spool_bytes_max == 2**30


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("interval_s = 30", "intervall_s = 30", "intervall_s"),
        ("interval_s = 30", "interval_s = 0", "interval_s"),
        ("interval_s = 30", "interval_s = true", "interval_s"),
        ("interval_s = 30", 'interval_s = "30"', "interval_s"),
        ('centre = "sj01"\n', "", "centre"),
        ('centre = "sj01"', 'centre = ""', "centre"),
        ("agent:slurm-1", "agent:", "source"),
        ("urn:centre:sj01", "urn:centre:sj02", "source"),
        ("https://", "ftp://", "base_url"),
        ("https://", "https://user@", "base_url"),
        ("/suanquan", "/suanquan?x=1", "base_url"),
        ("quan.example.cn", "", "base_url"),
        ("quan.example.cn", "[::1", "base_url"),
        ("quan.example.cn", "quan..cn", "base_url"),
    ],
)
def test_a_wrong_key_is_named(tmp_path, old, new, key):
    """Unknown, missing and malformed keys are refused with the key and the file."""
    assert old in GOOD
    with pytest.raises(MeteringError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert caught.value.code == "agent-config-invalid"
    assert f"{tmp_path / 'agent.toml'}: {key}" in [finding.where for finding in caught.value.findings]
    assert key in caught.value.zh
    assert key in caught.value.en


def test_what_is_no_toml_or_no_file_is_refused(tmp_path):
    """A file that cannot be read or parsed is refused by its name."""
    with pytest.raises(MeteringError, match=r"agent\.toml") as caught:
        read(tmp_path, "base_url = ")
    assert caught.value.code == "agent-config-malformed"
    with pytest.raises(MeteringError, match="absent") as caught:
        load_config(tmp_path / "absent.toml")
    assert caught.value.code == "agent-config-unreadable"
