"""SM2 keys in the hands of the OpenSSL command, whose arithmetic takes the same time whatever the key.

The private key is an encrypted PKCS#8 file; the passphrase goes to OpenSSL through a pipe, never through its arguments.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from ledger.errors import Kind
from suanquan.errors import ServiceError
from voucher.sm2 import USER_ID, Sm2Key, from_der

SUFFIX = ".sm2.pem"
SECONDS_MAX = 20
_UNCOMPRESSED_BYTES = 65


def create(file: Path, passphrase: bytes) -> Sm2Key:
    """Make a key in a new file; its public half.

    Raises:
        ServiceError: `openssl-missing` or `openssl-failed`.

    """
    curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-pkeyopt", "ec_param_enc:named_curve")
    pem = _openssl(["genpkey", *curve, "-aes-256-cbc", "-pass", "fd:{}"], passphrase)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(pem)
    return public_key(file, passphrase)


def public_key(file: Path, passphrase: bytes) -> Sm2Key:
    """Public half of a key file.

    Raises:
        ServiceError: `openssl-missing`, or `openssl-failed`, for a wrong passphrase, too.

    """
    der = _openssl(["pkey", "-in", str(file), "-passin", "fd:{}", "-pubout", "-outform", "DER"], passphrase)
    point = der[-_UNCOMPRESSED_BYTES:]
    return Sm2Key(point[1:33], point[33:])


def open_signer(file: Path, passphrase: bytes) -> Callable[[bytes], bytes]:
    """What signs with a key file: r ‖ s of 64 bytes under the default identity; a few milliseconds each.

    Raises:
        ServiceError: as `public_key`.

    """
    public_key(file, passphrase)
    identity = f"distid:{USER_ID.decode()}"

    def sign(message: bytes) -> bytes:
        options = ["-rawin", "-digest", "sm3", "-pkeyopt", identity]
        return from_der(
            _openssl(["pkeyutl", "-sign", "-inkey", str(file), "-passin", "fd:{}", *options], passphrase, message)
        )

    return sign


def _openssl(arguments: Sequence[str], passphrase: bytes, message: bytes = b"") -> bytes:
    """Run the command; `fd:{}` among its arguments becomes the pipe with the passphrase."""
    command = shutil.which("openssl")
    if command is None:
        raise ServiceError(
            "openssl-missing",
            "SM2 需要 openssl 3 命令；请安装",
            "SM2 needs the command openssl 3; install it",
            kind=Kind.UNAVAILABLE,
        )
    reader, writer = os.pipe()
    try:
        os.write(writer, passphrase + b"\n")
        os.close(writer)
        done = subprocess.run(  # noqa: S603 -- our own arguments, no shell
            [command, *(argument.format(reader) for argument in arguments)],
            input=message, capture_output=True, pass_fds=[reader], timeout=SECONDS_MAX, check=False,
        )  # fmt: skip
    finally:
        os.close(reader)
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().split("\n")[0][:200]
        raise ServiceError(
            "openssl-failed", f"openssl 出错：{reason}", f"openssl failed: {reason}", kind=Kind.UNAVAILABLE
        )
    return done.stdout
