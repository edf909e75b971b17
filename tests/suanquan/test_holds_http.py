"""Holds over HTTP: what a holder signed for is reserved once, debited at most, and given back."""

import dataclasses
import json
import secrets
import threading
import time
from collections import Counter

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import jws
from ledger.ed25519 import PublicKey
from ledger.scope import EVERYTHING
from suanquan.errors import ServiceError
from suanquan.use_cases.books import Order
from suanquan.use_cases.issue import load, voucher_object
from suanquan.use_cases.issue_file import issue_file, read_orders
from suanquan.use_cases.standing import change_standing
from tests.suanquan.harness import SCHEME, assert_problem, request
from tests.suanquan.spender import HOLDER, HOLDER_KEY, YUAN, Spender, give
from tests.suanquan.test_token_matrix import HONEST
from voucher import delegation
from voucher.document import jwt_input, make_jti, read_voucher
from voucher.holder import sandbox_uscc


@pytest.fixture
def centre(service):
    return Spender(service.url)


def state(service, jti):
    async def read():
        async with service.service.database.read() as connection:
            return voucher_object(await load(connection, jti, EVERYTHING))

    found = service.call(read())
    return tuple(found[name].partition(".")[0] for name in ("available", "held", "redeemed"))


def test_a_hold_is_captured_in_parts_and_the_rest_given_back(service, centre):
    """100 yuan: 60 held, 25 and 15 captured, the last one final; the centre is owed 40, and the ledger verifies."""
    voucher = give(service)
    held = centre.hold(voucher.token, 60)
    assert held.status == 200, held
    assert state(service, voucher.jti) == ("40", "60", "0")
    claims = jws.verify(held.content["token"], service.service.keys.verifying_keys(), "compute-hold+jwt")
    assert (claims["hold"], claims["amt"]) == (held.content["hold"], "60.000000")
    hold = held.content["hold"]
    assert centre.capture(hold, "25").content["remaining"] == "35.000000"
    assert_problem(centre.capture(hold, "35.000001"), 409, "hold-exceeded")
    assert centre.capture(hold, "15", final=True).content["remaining"] == "0.000000"
    assert_problem(centre.capture(hold, "1"), 409, "hold-closed")
    assert_problem(centre.release(hold), 409, "hold-closed")
    assert state(service, voucher.jti) == ("60", "0", "40")
    found = service.figures()
    assert found.owed == 40 * 10**6 == found.debited


def test_a_hold_is_raised_and_released(service, centre):
    """The holder signs for more under the hold's id; a capture runs over both parts, a release gives both back."""
    voucher = give(service)
    hold = centre.hold(voucher.token, 30).content["hold"]
    raised = centre.raise_(hold, voucher.token, 20)
    assert raised.status == 200, raised
    assert state(service, voucher.jti) == ("50", "50", "0")
    assert_problem(centre.raise_(hold, voucher.token, 20, reference="job:1"), 422, "hold-mismatch")
    assert centre.capture(hold, "40").content["remaining"] == "10.000000"
    assert centre.release(hold).content["released"] == "10.000000"
    assert state(service, voucher.jti) == ("60", "0", "40")
    service.figures()


def test_a_request_is_answered_once(service, centre):
    """Signed anew under its key it gets the same answer, another body none; refused, it stays refused."""
    voucher = give(service)
    body = {"voucher": voucher.token, "proof": centre.proof(voucher.token, 60)}
    first, again = (centre.post("/v1/holds", body, key="one") for _ in range(2))
    assert first.content == again.content
    assert state(service, voucher.jti) == ("40", "60", "0")
    assert_problem(centre.post("/v1/holds", body | {"expires_in_s": 60}, key="one"), 422, "idempotency-key-reused")
    more = {"voucher": voucher.token, "proof": centre.proof(voucher.token, 60)}
    assert_problem(centre.post("/v1/holds", more, key="two"), 409, "insufficient")
    assert (
        centre.release(first.content["hold"], key="three").content
        == centre.release(first.content["hold"], key="three").content
    )
    assert_problem(centre.post("/v1/holds", more, key="two"), 409, "insufficient")


def test_a_proof_is_used_once(service, centre):
    """Fifty at once, each signed by the agent under a key of its own: one hold."""
    voucher = give(service)
    body = {"voucher": voucher.token, "proof": centre.proof(voucher.token, 1)}
    answers = together(lambda _: centre.post("/v1/holds", body), 50)
    assert Counter(answer.status for answer in answers) == {200: 1, 422: 49}
    assert {answer.content["code"] for answer in answers if answer.status != 200} == {"pop-replayed"}
    assert state(service, voucher.jti) == ("99", "1", "0")


def test_a_nonce_is_used_once(service, centre):
    """Two proofs over one nonce: the second is refused."""
    voucher, nonce = give(service), centre.nonce()
    assert centre.hold(voucher.token, 1, nonce=nonce).status == 200
    assert_problem(centre.hold(voucher.token, 1, nonce=nonce), 422, "pop-replayed")


def test_resent_bytes_meet_the_nonce_table(service, centre):
    """What was signed once is accepted once, whatever became of it."""
    voucher = give(service)
    data = json.dumps({"voucher": voucher.token, "proof": centre.proof(voucher.token, 1)}).encode()
    headers = centre.headers("/v1/holds", data)
    assert request(service.url, "POST", "/v1/holds", data, headers).status == 200
    assert_problem(request(service.url, "POST", "/v1/holds", data, headers), 401, "nonce-replayed")


def test_a_proof_holds_at_its_own_centre(service, centre):
    """Another centre can neither use the proof nor touch the hold."""
    voucher, other = give(service), Spender(service.url, "sj02")
    body = {"voucher": voucher.token, "proof": centre.proof(voucher.token, 10)}
    assert other.post("/v1/holds", body).status == 422
    hold = centre.post("/v1/holds", body).content["hold"]
    assert_problem(other.capture(hold, "1"), 404, "hold-unknown")
    assert_problem(other.release(hold), 404, "hold-unknown")
    assert_problem(Spender(service.url, "stranger").capture(hold, "1"), 401, "signature-key-unknown")


def test_many_centres_never_overspend(service):
    """Two centres and forty tasks race for 100 yuan in holds of 7: fourteen get one, and all is captured."""
    voucher = give(service)
    centres = [Spender(service.url, name) for name in ("sj01", "sj02")]
    answers = together(lambda at: centres[at % 2].hold(voucher.token, 7), 40)
    assert Counter(answer.status for answer in answers) == {200: 14, 409: 26}
    for answer, centre in zip(answers, centres * 20, strict=True):
        if answer.status == 200:
            assert centre.capture(answer.content["hold"], "7").status == 200
    assert state(service, voucher.jti) == ("2", "0", "98")
    assert service.figures().owed == 98 * 10**6


def test_an_unlogged_voucher_is_refused(service, centre):
    """Somebody who stole the issuer's key signs a voucher: every signature is right, and the log has no issue of it."""
    honest = give(service)
    issuer = service.service.issuer
    _, voucher = read_voucher(honest.token, service.service.keys.all_keys())
    for changes in ({"jti": "01936c1e-0000-7abc-8def-0123456789ab"}, {"units": voucher.units * 2}):
        signed = jwt_input(dataclasses.replace(voucher, **changes), issuer.kid)
        forged = jws.compact(signed, issuer.sign(signed))
        assert_problem(centre.hold(forged, 1), 422, "voucher-not-logged")
        assert centre.hold(honest.token, 1).status == 200  # also once the honest one is known
        assert_problem(centre.hold(forged, 1), 422, "voucher-not-logged")


def test_standing_decides(service, centre):
    """Suspended: no new hold, the old one is captured. Revoked: what was free is gone."""
    voucher = give(service)
    hold = centre.hold(voucher.token, 10).content["hold"]
    service.call(change_standing(service.service.journal, Order("王", "核查"), voucher.jti, "suspend"))
    assert_problem(centre.hold(voucher.token, 10), 403, "voucher-suspended")
    assert centre.capture(hold, "4").status == 200
    service.call(change_standing(service.service.journal, Order("王", "核查"), voucher.jti, "revoke"))
    assert_problem(centre.hold(voucher.token, 10), 422, "voucher-revoked")
    assert centre.capture(hold, "6").status == 200
    service.figures()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/holds", {"voucher": "x"}),
        ("/v1/holds", {"voucher": "x", "proof": "y", "amount": "1"}),
        ("/v1/holds", {"voucher": "x", "proof": "y", "expires_in_s": 1}),
        ("/v1/holds", {"voucher": "x", "proof": "y", "expires_in_s": True}),
        ("/v1/nonces", {"count": 0}),
        (f"/v1/holds/{'0' * 32}/captures", {"amount": 1}),
        (f"/v1/holds/{'0' * 32}/captures", {"amount": "1", "final": 1}),
        (f"/v1/holds/{'0' * 32}/release", {"amount": "1"}),
    ],
)
def test_malformed_requests_name_the_member(centre, path, body):
    """Missing, unknown or of another kind: told with its pointer."""
    answer = centre.post(path, body)
    assert_problem(answer, 422, "request-malformed")
    assert answer.content["detail"].startswith("/")


def test_who_holds_another_key_is_refused(service, centre):
    """A stolen voucher without its key reserves nothing; an unsigned request is nobody's."""
    voucher, thief = give(service), Ed25519PrivateKey.generate()
    assert_problem(centre.hold(voucher.token, 1, signer=thief.sign), 422, "token-signature")
    stolen = centre.proof(voucher.token, 1, key=PublicKey.of(thief), signer=thief.sign)
    assert_problem(centre.post("/v1/holds", {"voucher": voucher.token, "proof": stolen}), 422, "pop-key")
    assert_problem(request(service.url, "POST", "/v1/holds", b"{}"), 401, "signature-header-missing")


def together(act, count):
    """Answers of so many threads that begin at once."""
    answers, gate = [None] * count, threading.Barrier(count)

    def run(at):
        gate.wait()
        answers[at] = act(at)

    threads = [threading.Thread(target=run, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_part_becomes_a_voucher_of_its_own(service, centre, installation):
    """An office splits 30 of 100 off for a student's key; who has that key spends it, the parent's holder cannot."""
    parent, student = give(service), Ed25519PrivateKey.generate()
    key = PublicKey.of(student)
    path = f"/v1/vouchers/{parent.jti}/split"
    headers = {
        "Authorization": f"Bearer {installation.token}",
        "Idempotency-Key": "split",
        "Content-Type": "application/json",
    }
    body = json.dumps({"amount": "30", "holder_key": key.jwk()})
    assert_problem(request(service.url, "POST", path, body), 401, "token-required")
    child, again = (request(service.url, "POST", path, body, headers) for _ in range(2))
    assert (child.status, child.content) == (201, again.content), child
    token = child.content["token"]
    assert_problem(centre.hold(token, 1), 422, "pop-key")
    assert (
        centre.hold(token, 30, key=None, body={"proof": centre.proof(token, 30, key=key, signer=student.sign)}).status
        == 200
    )
    assert state(service, parent.jti) == ("70", "0", "0")
    service.figures()


def test_a_file_of_orders_issues_each_once(service):
    """Three hundred lines, one refused: the others are issued, and the same file again gives the same vouchers."""
    lines = [json.dumps({"holder": sandbox_uscc(at), "amount": "10"}) for at in range(300)]
    lines[7] = json.dumps({"holder": "nobody", "amount": "10"})

    async def issue():
        return await issue_file(service.service.issue_many(SCHEME, read_orders("\n".join(lines).encode())))

    first, again = service.call(issue()), service.call(issue())
    assert (first["issued"], [one["order"] for one in first["refused"]]) == (299, [8])
    assert {one["code"] for one in first["refused"]} == {"issue-refused"}
    assert again == first
    for one in first["vouchers"][::60]:
        read_voucher(one["cwt"], service.service.keys.all_keys())
    service.figures()
    with pytest.raises(ServiceError, match="line 2"):
        read_orders(b'{"holder":"a","amount":"1"}\n{"holder":"a","amount":1}')


@pytest.mark.parametrize("kind", HONEST)
def test_no_other_token_is_a_voucher_or_a_proof(service, centre, kind):
    """Every type of token in the place of each: a voucher that is not of this issuer, or no voucher and no proof at all."""
    voucher = give(service)
    body = {"voucher": voucher.token, "proof": centre.proof(voucher.token, 1)}
    for place in body:
        answer = centre.post("/v1/holds", body | {place: HONEST[kind]})
        assert answer.status == 422, answer
    swapped = {"voucher": body["proof"], "proof": body["voucher"]}
    assert centre.post("/v1/holds", swapped).status == 422
    assert state(service, voucher.jti) == ("100", "0", "0")


def test_delegations_draw_on_one_voucher(service, centre):
    """Two members may each spend 60 of 100: together no more than 100, each no more than his own; what is given back counts."""
    voucher = give(service)
    _, document = read_voucher(voucher.token, service.service.keys.all_keys())
    members = [Ed25519PrivateKey.generate() for _ in range(2)]
    links = [link(document, voucher.token, PublicKey.of(member).kid, 60) for member in members]

    def hold(member, chain, yuan):
        body = {
            "proof": centre.proof(voucher.token, yuan, key=PublicKey.of(member), signer=member.sign),
            "delegations": chain,
        }
        return centre.hold(voucher.token, yuan, body=body)

    first = hold(members[0], [links[0]], 50)
    assert first.status == 200, first
    assert_problem(hold(members[0], [links[0]], 11), 409, "insufficient")
    assert_problem(hold(members[1], [links[1]], 51), 409, "insufficient")
    assert_problem(hold(members[0], [links[1]], 1), 422, "pop-key")
    assert centre.capture(first.content["hold"], "20", final=True).status == 200
    assert hold(members[0], [links[0]], 40).status == 200
    assert_problem(hold(members[0], [links[0]], 1), 409, "insufficient")
    assert hold(members[1], [links[1]], 40).status == 200
    assert_problem(
        hold(members[1], [link(document, voucher.token, PublicKey.of(members[1]).kid, 101)], 1), 422, "delegation-wider"
    )
    assert state(service, voucher.jti) == ("0", "80", "20")
    service.call(change_standing(service.service.journal, Order("王", "核查"), voucher.jti, "revoke"))
    assert_problem(hold(members[1], [links[1]], 1), 422, "voucher-revoked")
    service.figures()


def link(document, token, member_jkt, yuan):
    granted = dataclasses.replace(document.grant, units=yuan * YUAN)
    return delegation.delegate(
        delegation.root(document),
        token,
        HOLDER_KEY,
        HOLDER.sign,
        jti=make_jti(time.time_ns() // 1000, secrets.token_bytes(10)),
        member="学生",
        member_jkt=member_jkt,
        granted=granted,
        expires_at_s=document.expires_at_s,
        now_s=int(time.time()),
    )
