"""Issuer keys in a PKCS#11 token (an HSM, a smart card, SoftHSM): Ed25519 keys that are made there and never leave it.

A file beside the other keys says where a key is: library, token, label, and the file of the PIN. It holds no secret.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from suanquan.errors import ServiceError
from suanquan.home import read_secret, write_secret
from suanquan.optional import load_pkcs11

SUFFIX = ".pkcs11.json"
_ED25519_OID = bytes.fromhex("06032b6570")
_OCTETS = 0x04


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """A token: the PKCS#11 library that reaches it, its label, and the file with its PIN."""

    module: str
    token: str
    pin_file: str


def create(place: TokenPlace, label: str) -> PublicKey:
    """Make an Ed25519 key pair in the token under a new label; its public half.

    Raises:
        ServiceError: `pkcs11-failed`, with what the token says, or `library-missing`.

    """
    pkcs11 = load_pkcs11()
    with _session(place) as session:
        domain = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS, {pkcs11.Attribute.EC_PARAMS: _ED25519_OID}, local=True
        )
        public, _ = domain.generate_keypair(mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label)
        return PublicKey(_raw(public[pkcs11.Attribute.EC_POINT]))


def write_place(file: Path, place: TokenPlace, label: str) -> None:
    """Say in a file where a key is."""
    data = {"module": place.module, "token": place.token, "label": label, "pin_file": place.pin_file}
    write_secret(file, json.dumps(data, indent=1).encode())


def open_signer(file: Path) -> Callable[[bytes], bytes]:
    """What signs with the key that a file names.

    One session stays open for it; PKCS#11 sessions are for one thread at a time, and a lock sees to that.

    Raises:
        ServiceError: `pkcs11-failed` or `library-missing`.

    """
    try:
        data = json.loads(file.read_bytes())
        place, label = TokenPlace(data["module"], data["token"], data["pin_file"]), data["label"]
    except (ValueError, KeyError, TypeError) as fault:
        raise _failed(f"{file}: {fault}") from fault
    pkcs11 = load_pkcs11()
    session = _open(place)
    with _told():
        key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=label)
    lock = threading.Lock()

    def sign(message: bytes) -> bytes:
        with lock, _told():
            return bytes(key.sign(message, mechanism=pkcs11.Mechanism.EDDSA))

    return sign


def _raw(point: bytes) -> bytes:
    """The 32 bytes of a key, which some tokens wrap in an OCTET STRING."""
    return point[2:] if len(point) == 34 and point[0] == _OCTETS else point


def _open(place: TokenPlace) -> Any:
    pin = read_secret(Path(place.pin_file)).decode("utf-8").strip()
    with _told():
        return load_pkcs11().lib(place.module).get_token(token_label=place.token).open(rw=True, user_pin=pin)


@contextlib.contextmanager
def _session(place: TokenPlace) -> Iterator[Any]:
    session = _open(place)
    try:
        with _told():
            yield session
    finally:
        session.close()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what the library raises into one error."""
    exceptions = load_pkcs11().exceptions
    try:
        yield
    except (exceptions.PKCS11Error, RuntimeError) as fault:
        raise _failed(f"{type(fault).__name__} {fault}".strip()) from fault


def _failed(reason: str) -> ServiceError:
    return ServiceError(
        "pkcs11-failed",
        f"PKCS#11 令牌出错：{reason}；请核对库、令牌标签与 PIN",
        f"the PKCS#11 token failed: {reason}; check library, token label and PIN",
        kind=Kind.UNAVAILABLE,
    )
