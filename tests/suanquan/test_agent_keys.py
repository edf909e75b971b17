"""Keys of agents: registered on proof that the agent holds them, for the centre they were meant for, and ended within a second."""

import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import jws
from ledger.ed25519 import PublicKey
from ledger.errors import DomainError
from metering.possession import TYPE, check, prove, shown
from suanquan.db import notices
from suanquan.notices.model import OFFICE, of_centre
from suanquan.service import open_service
from suanquan.use_cases import agent_keys, setup
from tests.suanquan.command import suanquan
from tests.suanquan.harness import KEYS, Agent, ThreadedService, assert_problem, usage

MINE, OTHERS = (Ed25519PrivateKey.from_private_bytes(byte * 32) for byte in (b"m", b"o"))
PUBLIC = PublicKey.of(MINE)


def signed(private, claims, kid=PUBLIC.kid, typ=TYPE):
    return jws.sign(claims, typ=typ, kid=kid, signer=private.sign)


UNPROVEN = {
    "nothing": None,
    "no text": 7,
    "no token": "a.b",
    "another's signature": signed(OTHERS, {"jkt": PUBLIC.kid}),
    "another's token": prove(OTHERS),
    "another key's claims": signed(MINE, {"jkt": PublicKey.of(OTHERS).kid}),
    "another centre": prove(MINE, "sj02"),
    "another kind of token": signed(MINE, {"jkt": PUBLIC.kid}, typ="usage-receipt+jwt"),
    "claims that nobody knows": signed(MINE, {"jkt": PUBLIC.kid, "more": 1}),
    "no claims": signed(MINE, {}),
}


@pytest.mark.parametrize("case", UNPROVEN)
def test_what_proves_nothing_is_refused(case):
    """Neither a proof of another key, nor one for another centre or another purpose, nor none."""
    with pytest.raises(DomainError) as caught:
        check(PUBLIC, UNPROVEN[case], "sj01")
    assert caught.value.code == "possession-unproven"


def test_a_proof_holds_where_it_was_meant_to():
    """One that names a centre at that centre, one that names none at any."""
    check(PUBLIC, prove(MINE), "sj01")
    check(PUBLIC, prove(MINE, "sj01"), "sj01")
    assert PublicKey.from_jwk(shown(MINE)) == PUBLIC


@pytest.fixture
def strict(installation, monkeypatch):
    """The same home, which is no sandbox now."""
    monkeypatch.setenv("SUANQUAN_SANDBOX", "false")
    return installation


async def test_only_a_sandbox_takes_a_key_without_a_proof(installation, strict, monkeypatch):
    """Outside one a bare JWK is refused and changes nothing; in a sandbox it is taken, but for a proof that does not hold."""
    bare, false = json.dumps(PUBLIC.jwk()).encode(), json.dumps(PUBLIC.jwk() | {"proof": prove(OTHERS)}).encode()
    async with open_service(strict.home) as service:
        for data in (bare, false):
            with pytest.raises(DomainError) as caught:
                await agent_keys.register_shown(service, "sj01", data, "agent.jwk")
            assert caught.value.code == "possession-unproven"
        proven = json.dumps(shown(OTHERS, "sj01")).encode()
        assert await agent_keys.register_shown(service, "sj01", proven, "agent.jwk") == (PublicKey.of(OTHERS), True)
    monkeypatch.setenv("SUANQUAN_SANDBOX", "true")
    async with open_service(installation.home) as service:
        with pytest.raises(DomainError):
            await agent_keys.register_shown(service, "sj01", false, "agent.jwk")
        assert await agent_keys.register_shown(service, "sj01", bare, "agent.jwk") == (PUBLIC, False)


@pytest.mark.parametrize("back_end", ["sqlite", "postgresql"], indirect=True)
def test_an_ended_key_is_refused_within_a_second(home_on):
    """Its next report is nobody's, what it reported stays, the other centre goes on; it is ended once, and never comes back."""
    kid = PublicKey.of(KEYS["sj01"]).kid

    async def code_of(work):
        with pytest.raises(DomainError) as caught:
            await work
        return caught.value.code

    with ThreadedService(home_on.home) as running:
        agent, service = Agent(running.url), running.service
        assert agent.report_records([usage(1)]).statuses == ["accepted"]
        for centre, key in (("sj02", kid), ("sj01", "nobody")):
            assert running.call(code_of(agent_keys.end_key(service, centre, key, "x"))) == "agent-key-unknown"
        running.call(agent_keys.end_key(service, "sj01", kid, "the disk was lost"))
        time.sleep(1)
        assert_problem(agent.report_records([usage(2)]), 401, "signature-key-unknown")
        assert Agent(running.url, "sj02").report_records([usage(3)]).statuses == ["accepted"]
        size = running.figures().entries
        running.call(agent_keys.end_key(service, "sj01", kid, "again"))

        async def told():
            async with service.database.read() as conn:
                return await notices.newest_about(conn, "agent.key")

        about = {key: one.data["ended"] for key, one in running.call(told()).items()}
        assert about[of_centre("sj01"), kid] is about[OFFICE, kid] is True
        assert (of_centre("sj02"), kid) not in about
        again = setup.register_agent_key(service.journal, "sj01", PublicKey.of(KEYS["sj01"]))
        assert running.call(code_of(again)) == "key-ended"
        figures = running.figures()
        assert (figures.entries, figures.records) == (size, 2)


def test_the_commands_hand_a_key_over(installation, tmp_path):
    """`show-key` prints it for a centre, `centre key` takes it there alone, `centre end-key` ends it; each says what is wrong."""
    office = ("--home", installation.home.path, "--json")
    assert suanquan("agent", "keygen", "agent.pem", "--centre", "sj02", cwd=tmp_path).json["proof"]
    made = suanquan("agent", "show-key", "agent.pem", "--centre", "sj02", cwd=tmp_path)
    (tmp_path / "agent.jwk").write_text(made.out)
    wrong = suanquan("centre", "key", "sj01", "agent.jwk", *office, cwd=tmp_path)
    assert (wrong.status, "possession-unproven" in wrong.err) == (8, True)
    done = suanquan("centre", "key", "sj02", "agent.jwk", *office, cwd=tmp_path)
    assert (done.json, "Sandbox" in done.err) == ({"centre": "sj02", "kid": made.json["kid"]}, False)
    ended = suanquan("centre", "end-key", "sj02", made.json["kid"], "--reason", "lost", *office, cwd=tmp_path)
    assert ended.json["ended"]


def test_a_key_whose_name_begins_with_a_hyphen_is_no_option(installation, tmp_path):
    """One thumbprint in 64 does: it is looked up as any other."""
    home, name = ("--home", installation.home.path), "-" + "A" * 42
    ended = suanquan("centre", "end-key", "sj02", name, "--reason", "lost", *home, cwd=tmp_path)
    assert (ended.status, "No such option" in ended.err, name in ended.err) == (3, False, True), ended
