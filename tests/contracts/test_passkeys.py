"""Passkeys against an authenticator written here: registered in a session, then a way in; copies, foreign sites and replays are refused."""

import base64
import json
import struct
from hashlib import sha256

import cbor2
import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from suanquan.access.passwords import Passwords
from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.errors import ServiceError
from suanquan.home import Home
from suanquan.settings import Settings
from suanquan.use_cases import accounts, first_account, passkeys, sign_in
from suanquan.use_cases.access import Access
from tests.contracts.test_access import PASSWORD, Clock
from tests.tampering import altered

ORIGIN = "http://localhost:8080"
ADMIN = Principal("admin", Role.ADMINISTRATOR)
PRESENT, VERIFIED, ATTESTED = 1, 4, 64


@pytest.fixture
async def access(new_database, tmp_path):
    """A home reached at localhost, whose first account is taken up."""
    home = Home(tmp_path / "home")
    home.keys.mkdir(parents=True)
    database = Database(new_database(upgrade))
    settings = Settings(sandbox=True, public_url=ORIGIN)
    opened = Access(database, home, settings, Clock(), Passwords(PasswordHasher.from_parameters(CHEAPEST)))
    await accounts.take_up(opened, await first_account.first_secret(opened), PASSWORD)
    yield opened
    await database.close()


def text(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Authenticator:
    """One credential on P-256 with a counter, which says what it is told to."""

    def __init__(self, rp_id="localhost", origin=ORIGIN):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = sha256(str(id(self)).encode()).digest()
        self.count, self.rp_id, self.origin = 0, rp_id, origin

    def _client(self, kind, challenge):
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()

    def _data(self, flags, more=b""):
        return sha256(self.rp_id.encode()).digest() + struct.pack(">BI", flags, self.count) + more

    def _credential(self, response):
        return {"id": text(self.id), "rawId": text(self.id), "type": "public-key", "response": response}

    def make(self, options, flags=PRESENT | VERIFIED):
        """The answer to options for a new credential."""
        point = self.key.public_key().public_numbers()
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)})
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cose
        statement = {"fmt": "none", "attStmt": {}, "authData": self._data(flags | ATTESTED, attested)}
        client = self._client("webauthn.create", options["challenge"])
        return self._credential({"clientDataJSON": text(client), "attestationObject": text(cbor2.dumps(statement))})

    def show(self, options, flags=PRESENT | VERIFIED):
        """The answer to options for a log-in."""
        self.count += 1
        client, data = self._client("webauthn.get", options["challenge"]), self._data(flags)
        signature = self.key.sign(data + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._credential(
            {
                "clientDataJSON": text(client),
                "authenticatorData": text(data),
                "signature": text(signature),
                "userHandle": None,
            }
        )


async def registered(access, key):
    options = await passkeys.registration_options(access, ADMIN)
    return await passkeys.register(access, ADMIN, key.make(options), "钥匙扣")


async def refused(code, work):
    with pytest.raises(ServiceError) as caught:
        await work
    assert caught.value.code == code


async def test_a_passkey_is_a_way_in(access):
    """Registered once, it begins a session of its owner each time, without a name or a password."""
    key = Authenticator()
    assert (await registered(access, key))["id"] == text(key.id)
    for _ in range(2):
        begun = await passkeys.log_in(access, key.show(await passkeys.login_options(access)))
        assert (await sign_in.session(access, begun.secret)).name == "admin"
    await refused("passkey-refused", registered(access, key))


async def test_what_does_not_hold_is_refused(access):
    """Another site, another origin, nobody verified, a flipped signature, a replay, an old challenge, an unknown key."""
    key = Authenticator()
    await registered(access, key)
    key.origin = "http://localhost.evil.example"
    await refused("login-failed", passkeys.log_in(access, key.show(await passkeys.login_options(access))))
    key.origin, key.rp_id = ORIGIN, "evil.example"
    await refused("login-failed", passkeys.log_in(access, key.show(await passkeys.login_options(access))))
    key.rp_id = "localhost"
    await refused("login-failed", passkeys.log_in(access, key.show(await passkeys.login_options(access), PRESENT)))
    options = await passkeys.login_options(access)
    shown = key.show(options)
    forged = json.loads(json.dumps(shown))
    forged["response"]["signature"] = altered(shown["response"]["signature"])
    await refused("login-failed", passkeys.log_in(access, forged))
    await refused("login-failed", passkeys.log_in(access, shown))  # its challenge was used by the forgery
    options = await passkeys.login_options(access)
    access.clock_ns.now_s += passkeys.CHALLENGE_MINUTES * 60
    await refused("login-failed", passkeys.log_in(access, key.show(options)))
    stranger = Authenticator()
    await refused("login-failed", passkeys.log_in(access, stranger.show(await passkeys.login_options(access))))
    for junk in ({}, {"rawId": "x", "response": 1}, {"rawId": "\udc80", "response": {"clientDataJSON": "e30"}}):
        await refused("login-failed", passkeys.log_in(access, junk))
    shown = key.show(await passkeys.login_options(access))
    await passkeys.log_in(access, shown)
    await refused("login-failed", passkeys.log_in(access, shown))


async def test_a_copy_shows_by_its_counter(access):
    """A counter that stands still or goes back is that of a copy: it does not get in."""
    key = Authenticator()
    await registered(access, key)
    await passkeys.log_in(access, key.show(await passkeys.login_options(access)))
    key.count -= 1
    await refused("login-failed", passkeys.log_in(access, key.show(await passkeys.login_options(access))))


async def test_a_new_passkey_needs_its_own_challenge(access):
    """Options of somebody else, used ones, and an authenticator that verified nobody make no passkey; a recovery takes all away."""
    key = Authenticator()
    options = await passkeys.registration_options(access, Principal("李", Role.FINANCE))
    await refused("passkey-refused", passkeys.register(access, ADMIN, key.make(options), "x"))
    options = await passkeys.registration_options(access, ADMIN)
    await refused("passkey-refused", passkeys.register(access, ADMIN, key.make(options, PRESENT), "x"))
    await refused("passkey-refused", passkeys.register(access, ADMIN, key.make(options), "x"))
    await registered(access, key)
    await accounts.open_recovery(access, Principal("钱", Role.FINANCE), "admin")
    secret = await accounts.agree_recovery(access, Principal("周", Role.DEPARTMENT), "admin")
    await accounts.take_up(access, secret, PASSWORD)
    await refused("login-failed", passkeys.log_in(access, key.show(await passkeys.login_options(access))))
