"""Rotation and revocation beside a running service, SM2 as a second signature, and status lists on HTTP."""

import json
import shutil
import time

import pytest

from ledger import jws
from ledger.ed25519 import PublicKey
from suanquan.key_ring import KeyRing
from suanquan.use_cases.rotate import KeyPlace, Keyroom, revoke, rotate
from tests.suanquan.command import suanquan
from tests.suanquan.harness import PASSPHRASE, SCHEME, ThreadedService, assert_problem, request
from voucher.document import read_signed, read_voucher
from voucher.status_list import Status, read, verify

HOLDER = "91350100M000100Y43"


def room(service):
    opened = service.service
    return Keyroom(opened.home, opened.journal, opened.ring, PASSPHRASE, "wang", "drill")


def post(service, token, path, body, key="k"):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key}
    return request(service.url, "POST", path, json.dumps(body), headers)


def give(service, token, key="k", **more):
    body = {"scheme": SCHEME, "holder": HOLDER, "amount": "5"} | more
    answer = post(service, token, "/v1/vouchers", body, key)
    assert answer.status == 201, answer
    return answer.content


def published(service, name="jwks.json"):
    answer = request(service.url, "GET", f"/.well-known/{name}")
    assert answer.headers["cache-control"] == "public, max-age=300"
    return [jwk for jwk in answer.content["keys"] if jwk["use"] == "sig"]


def kid_of(token, service):
    return read_voucher(token, service.service.keys.verifying_keys())[0]


def test_rotation_stops_nothing(service, installation, agent):
    """Announced, then active: the very service goes on with the new key, for vouchers and receipts; old tokens hold."""
    first = give(service, installation.token)
    [old] = [key["kid"] for key in published(service)]
    announced = service.call(rotate(room(service), KeyPlace(), activate=False))
    new = announced["kid"]
    assert [key["kid"] for key in published(service)] == [old, new]
    assert kid_of(give(service, installation.token, "still old")["token"], service) == old
    assert service.call(rotate(room(service), KeyPlace()))["kid"] == new
    assert kid_of(give(service, installation.token, "new")["token"], service) == new
    answer = agent.report(agent.event(1))
    keys = {jwk["kid"]: PublicKey.from_jwk({**jwk, "alg": "Ed25519"}) for jwk in published(service)}
    assert jws.verify_with_kid(answer.content["receipt"], keys, "usage-receipt+jwt")[0] == new
    assert give(service, installation.token) == first
    assert kid_of(first["token"], service) == old
    assert {key.kid: key.state.value for key in service.service.keys.keys} == {old: "verify-only", new: "active"}


def test_a_rotation_by_command_is_seen_by_a_running_service(service, installation, tmp_path):
    """Another process rotates; the next voucher is signed with the new key, and every step stands in the log."""
    give(service, installation.token)
    home = ("--home", installation.home.path, "--passphrase-file", installation.passphrase_file, "--json")
    done = suanquan("keys", "rotate", "--officer", "wang", "--reason", "quarterly", *home, cwd=tmp_path)
    assert done.status == 0, done.err
    assert kid_of(give(service, installation.token, "after")["token"], service) == done.json["kid"]
    listed = suanquan("keys", "list", "--home", installation.home.path, "--json", cwd=tmp_path).json
    assert [row["state"] for row in listed] == ["verify-only", "active"]
    service.figures()


def test_revoking_the_active_key_replaces_it(service, installation):
    """A new key signs at once; the revoked one leaves the published set and signs nothing, not even what was recorded."""
    old = kid_of(give(service, installation.token)["token"], service)
    told = service.call(revoke(room(service), old, at_s=int(time.time()) + 1))
    assert [key["state"] for key in told["keys"]] == ["revoked", "active"]
    assert old not in [key["kid"] for key in published(service)]
    assert kid_of(give(service, installation.token, "after")["token"], service) != old
    ring = KeyRing(installation.home, PASSPHRASE)
    with pytest.raises(Exception, match="revoked") as caught:
        ring.signer(old)
    assert caught.value.code == "key-revoked"


def test_changes_of_keys_need_an_officer_and_a_reason(service):
    """Who decided stands in the log; without it nothing changes."""
    before = service.service.keys
    with pytest.raises(Exception, match="reason") as caught:
        service.call(rotate(room(service)._replace(reason=""), KeyPlace(), activate=False))
    assert caught.value.code == "reason-missing"
    assert service.service.keys == before


def test_sm2_signs_a_second_time(service, installation, tmp_path):
    """With an SM2 key a voucher has a third form with both signatures; who requires both takes that one alone."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here")
    kid = service.call(rotate(room(service), KeyPlace(sm2=True)))["kid"]
    assert [key["kid"] for key in published(service, "sm2-jwks.json")] == [kid]
    issued = give(service, installation.token)
    kids, _ = read_signed(issued["dual"], service.service.keys.all_keys())
    assert kids == (service.service.keys.signing_key().kid, kid)
    assert give(service, installation.token) == issued
    files = []
    for name in ("jwks.json", "sm2-jwks.json"):
        (tmp_path / name).write_text(json.dumps({"keys": published(service, name)}))
        files += ["--jwks", tmp_path / name]
    trust = (*files, "--issuer", "urn:suanquan:sandbox", "--json")
    strict = suanquan("voucher", "verify", issued["dual"], *trust, "--require", "SM2-SM3", cwd=tmp_path)
    assert [signed["alg"] for signed in strict.json["signed_by"]] == ["Ed25519", "SM2-SM3"]
    for form in ("token", "cwt"):
        assert suanquan("voucher", "verify", issued[form], *trust, cwd=tmp_path).status == 0
        stripped = suanquan("voucher", "verify", issued[form], *trust, "--require", "SM2-SM3", cwd=tmp_path)
        assert stripped.status == 8
        assert "voucher-signature-missing" in stripped.err


def test_a_status_list_is_served_with_its_tag(service, installation):
    """JWT unless CWT alone is accepted; ETag and 304; no past, no other form, no other list; open to every page."""
    issued = give(service, installation.token)
    keys = service.service.keys.verifying_keys()
    place = read_voucher(issued["token"], keys)[1].status
    path = place.uri.removeprefix(service.url)
    assert request(service.url, "GET", "/status-lists").content == {"status_lists": [place.uri]}
    first = request(service.url, "GET", path)
    assert first.headers["content-type"] == "application/statuslist+jwt"
    assert first.headers["cache-control"] == "public, max-age=60"
    assert first.headers["access-control-allow-origin"] == "*"
    for accept, form in {
        "application/statuslist+cwt": "cwt",
        "application/statuslist+jwt, application/statuslist+cwt": "jwt",
        "*/*": "jwt",
    }.items():
        answer = request(service.url, "GET", path, headers={"Accept": accept})
        assert answer.headers["content-type"] == f"application/statuslist+{form}"
        listed = verify(answer.content, keys, revoked={}, now_s=int(time.time()), uri=place.uri)
        assert listed[place.index] == Status.VALID
        again = request(service.url, "GET", path, headers={"Accept": accept, "If-None-Match": answer.headers["etag"]})
        assert (again.status, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert_problem(request(service.url, "GET", path, headers={"Accept": "text/html"}), 406, "not-acceptable")
    assert_problem(request(service.url, "GET", f"{path}?time=1700000000"), 501, "status-list-past")
    assert_problem(request(service.url, "GET", "/status-lists/20q1"), 404, "status-list-unknown")


def test_standing_on_http(service, installation):
    """Suspend, resume, revoke: repeatable by key, shown in the list at once, for officers alone; the QR code is served."""
    issued = give(service, installation.token)
    path = f"/v1/vouchers/{issued['jti']}"
    keys = service.service.keys.verifying_keys()
    place = read_voucher(issued["cwt"], keys)[1].status
    reason = {"reason": "case 7"}

    def status():
        answer = request(service.url, "GET", place.uri.removeprefix(service.url))
        return Status(read(answer.content, keys)[1][place.index])

    for number, (what, expected) in enumerate(
        [("suspend", Status.SUSPENDED), ("resume", Status.VALID), ("revoke", Status.REVOKED)]
    ):
        first = post(service, installation.token, f"{path}/{what}", reason, f"key {number}")
        assert first.status == 200, first
        assert post(service, installation.token, f"{path}/{what}", reason, f"key {number}").content == first.content
        assert status() is expected
    assert first.content["returned"] == "5.000000"
    assert_problem(post(service, installation.token, f"{path}/resume", reason, "z"), 409, "voucher-revoked-already")
    assert_problem(post(service, "sqt_no", f"{path}/revoke", reason, "y"), 401, "token-unknown")
    for faulty in ({}, reason | {"officer": "wang"}):  # a body names nobody: who decides is who is logged in
        assert_problem(post(service, installation.token, f"{path}/revoke", faulty, "x"), 422, "request-invalid")
    bearer = {"Authorization": f"Bearer {installation.token}"}
    svg = request(service.url, "GET", f"{path}/qr", headers=bearer)
    assert svg.headers["content-type"] == "image/svg+xml"
    png = request(service.url, "GET", f"{path}/qr?form=png", headers=bearer)
    assert png.content.startswith(b"\x89PNG")
    service.figures()


def test_commands_for_one_voucher(installation, tmp_path):
    """`voucher qr`, `suspend`, `resume`, `revoke`, and `verify` with the list that shows it; verify leaves nothing behind."""
    home = ("--home", installation.home.path)
    secret = ("--passphrase-file", installation.passphrase_file)
    order = ("--scheme", SCHEME, "--holder", HOLDER, "--amount", "5", "--json")
    issued = suanquan("voucher", "issue", *order, *home, *secret, cwd=tmp_path).json
    for name in ("code.svg", "code.png"):
        assert suanquan("voucher", "qr", issued["jti"], "-o", tmp_path / name, *home, cwd=tmp_path).status == 0
        assert (tmp_path / name).stat().st_size > 300
    assert suanquan("voucher", "qr", issued["jti"], "-o", tmp_path / "code.gif", *home, cwd=tmp_path).status == 2
    keys = suanquan("keys", "jwks", *home, cwd=tmp_path)
    (tmp_path / "jwks.json").write_text(keys.out)
    act = ("--officer", "wang", "--reason", "case 7", *home, "--json")
    empty = tmp_path / "empty"
    empty.mkdir()
    for what, expected in (("suspend", "voucher-suspended"), ("resume", ""), ("revoke", "voucher-revoked")):
        done = suanquan("voucher", what, issued["jti"], *act, cwd=tmp_path)
        assert done.status == 0, done.err
        with ThreadedService(installation.home) as running:
            path = (
                "/status-lists/"
                + request(running.url, "GET", "/status-lists").content["status_lists"][0].split("/")[-1]
            )
            (tmp_path / "list").write_bytes(request(running.url, "GET", path).content)
        trust = ("--jwks", tmp_path / "jwks.json", "--issuer", "urn:suanquan:sandbox")
        shown = suanquan(
            "voucher", "verify", issued["cwt"], *trust, "--status-list", tmp_path / "list", "--json", cwd=empty
        )
        assert (shown.status, expected in shown.err) == ((0, True) if expected == "" else (8, True)), shown.err
        if not expected:
            assert shown.json["status"] == "valid"
    assert list(empty.iterdir()) == []
