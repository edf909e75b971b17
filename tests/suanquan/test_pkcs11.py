"""A key that lives in a PKCS#11 token signs vouchers that everybody verifies; tested with SoftHSM2 where it is installed."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from suanquan.errors import ServiceError
from suanquan.pkcs11_signer import SUFFIX, TokenPlace, create, open_signer, write_place
from tests.suanquan.command import suanquan

LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
PIN = "4711-4711"
MESSAGE = b"compute voucher"


@pytest.fixture(scope="module")
def softhsm(tmp_path_factory):
    """A fresh token, reached through the setting that the library reads once a process."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if library is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    command = ["softhsm2-util", "--init-token", "--free", "--label", "suanquan", "--pin", PIN, "--so-pin", "12345678"]
    subprocess.run(command, check=True, capture_output=True)
    pin = folder / "pin"
    pin.touch(mode=0o600)
    pin.write_text(PIN + "\n")
    yield TokenPlace(library, "suanquan", str(pin)), configuration
    os.environ.pop("SOFTHSM2_CONF")
    if before is not None:
        os.environ["SOFTHSM2_CONF"] = before


def test_a_key_of_the_token_signs_as_any_other(softhsm, tmp_path):
    """Made there, named in a file without a secret, it signs what our strict verifier takes; thousands a second."""
    place, _ = softhsm
    key = create(place, "first")
    file = tmp_path / f"{key.kid}{SUFFIX}"
    write_place(file, place, "first")
    assert PIN not in file.read_text()
    sign = open_signer(file)
    assert key.verify(sign(MESSAGE), MESSAGE)
    assert not key.verify(sign(MESSAGE), MESSAGE + b"!")
    started = time.perf_counter()
    for _ in range(200):
        sign(MESSAGE)
    print(f"{200 / (time.perf_counter() - started):.0f} signatures a second in the token")


@pytest.mark.parametrize(
    "change",
    [
        {"token": "another"},
        {"label": "none"},
        {"pin": "0000-0000"},
        {"module": "/nowhere/library.so"},
        {"spoilt": "{}"},
    ],
    ids=str,
)
def test_what_does_not_open_is_one_error(softhsm, tmp_path, change):
    """No such token, key or library, a wrong PIN, a spoilt file: one code, with what the token says."""
    place, _ = softhsm
    pin = tmp_path / "pin"
    pin.touch(mode=0o600)
    pin.write_text(change.get("pin", PIN))
    file = tmp_path / f"x{SUFFIX}"
    other = TokenPlace(change.get("module", place.module), change.get("token", place.token), str(pin))
    write_place(file, other, change.get("label", "first"))
    if "spoilt" in change:
        file.write_text(change["spoilt"])
    with pytest.raises(ServiceError) as caught:
        open_signer(file)
    assert caught.value.code == "pkcs11-failed"


def test_an_open_pin_file_is_refused(softhsm, tmp_path):
    """Like the passphrase, the PIN may be read by its owner alone."""
    place, _ = softhsm
    pin = tmp_path / "pin"
    pin.write_text(PIN)
    pin.chmod(0o644)
    with pytest.raises(ServiceError) as caught:
        create(TokenPlace(place.module, place.token, str(pin)), "second")
    assert caught.value.code == "passphrase-exposed"


def test_a_home_rotates_into_the_token(softhsm, installation, tmp_path):
    """`keys rotate --pkcs11-module …`, then a voucher by the token's key; the home holds no private key of it."""
    place, configuration = softhsm
    home = ("--home", installation.home.path, "--passphrase-file", installation.passphrase_file)
    where = ("--pkcs11-module", place.module, "--pkcs11-token", place.token, "--pin-file", place.pin_file)
    environment = {"SOFTHSM2_CONF": str(configuration)}
    rotated = suanquan("keys", "rotate", *where, *home, "--json", cwd=tmp_path, environment=environment)
    assert rotated.status == 0, rotated.err
    kid = rotated.json["kid"]
    assert {path.name for path in installation.home.keys.glob(f"{kid}*")} == {kid + SUFFIX}
    order = ("--scheme", "cn-sh-songjiang-sandbox", "--holder", "91350100M000100Y43", "--amount", "5", "--json")
    issued = suanquan("voucher", "issue", *order, *home, cwd=tmp_path, environment=environment)
    assert issued.status == 0, issued.err
    shown = suanquan("voucher", "verify", issued.json["token"], *home[:2], "--json", cwd=tmp_path)
    assert shown.json["signed_by"] == [{"kid": kid, "alg": "Ed25519"}]
    checked = suanquan("doctor", *home, "--json", cwd=tmp_path, environment=environment)
    assert {row["check"]: row["ok"] for row in checked.json}["keys"]
