"""What officers ask of the books and do to them, through the command line on a real home."""

import json

import pytest

from tests.suanquan.command import suanquan

BY = ("--officer", "张三", "--reason", "沪发改〔2026〕1号")


@pytest.fixture
def books(template, tmp_path):
    """Ask the command line about a home with a voucher of 100 yuan; a refusal gives its exit status."""
    home = template.copy_to(tmp_path / "home").home.path

    def ask(*arguments, command="ledger"):
        done = suanquan(command, *arguments, "--home", str(home), "--json")
        return json.loads(done.stdout) if done.returncode == 0 else done.returncode

    ask.home = home
    return ask
