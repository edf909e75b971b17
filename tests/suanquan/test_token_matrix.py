"""Every type of token at every place that takes one: only its own place lets it in, and no route takes any for a key to it."""

import json
import re

import base45
import pytest
from starlette.routing import Route

from ledger import jws
from ledger.errors import DomainError
from suanquan.access.policy import Reach
from suanquan.access.principal import PUBLIC
from suanquan.http.app import ROUTERS, SIGNED
from suanquan.http.auth import actions_of
from tests.conftest import ALL
from tests.suanquan.harness import assert_problem, request
from tests.voucher.samples import HOLDER_KEY, IN_COMPUTE, KEY, KEYS, NOW_S, PRIVATE, jwt_of, qr_of
from tests.voucher.test_delegation import chain
from tests.voucher.test_presentation import HOLDER, NONCES, REQUEST, proof
from tests.voucher.test_status_list import cwt_of as list_cwt
from tests.voucher.test_status_list import jwt_of as list_jwt
from voucher import delegation, dual, presentation, status_list
from voucher.document import JWT_TYPE, read_voucher, to_claims

VOUCHER = IN_COMPUTE
TOKEN = jwt_of(VOUCHER)

HONEST = {
    "voucher": TOKEN,
    "voucher-cwt": qr_of(VOUCHER),
    "voucher-dual": dual.join(TOKEN, TOKEN),
    "presentation": proof(),
    "delegation": chain({}, voucher=VOUCHER, token=TOKEN)[0],
    "status-list": list_jwt().decode(),
    "receipt": jws.sign({"size": 7}, typ="usage-receipt+jwt", kid=KEY.kid, signer=PRIVATE.sign),
    "hold": jws.sign({"hold": 7}, typ="compute-hold+jwt", kid=KEY.kid, signer=PRIVATE.sign),
    "lease": jws.sign({"lease": 7}, typ="compute-lease+jwt", kid=KEY.kid, signer=PRIVATE.sign),
    "usage-report": jws.sign({"report": 7}, typ="usage-report+jwt", kid=KEY.kid, signer=PRIVATE.sign),
    "plain-jwt": jws.sign(to_claims(VOUCHER), typ="JWT", kid=KEY.kid, signer=PRIVATE.sign),
}
READERS = {
    "voucher": lambda text: read_voucher(text, KEYS),
    "presentation": lambda text: presentation.check(text, TOKEN, HOLDER_KEY.kid, REQUEST, NONCES, now_s=NOW_S),
    "delegation": lambda text: delegation.check([text], VOUCHER, TOKEN, now_s=NOW_S),
    "status-list": lambda text: status_list.read(text.encode("utf-8", "replace"), KEYS),
    "receipt": lambda text: jws.verify(text, KEYS, "usage-receipt+jwt"),
    "hold": lambda text: jws.verify(text, KEYS, "compute-hold+jwt"),
    "lease": lambda text: jws.verify(text, KEYS, "compute-lease+jwt"),
}
OWN = {"voucher-cwt": "voucher", "voucher-dual": "voucher"}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", HONEST)
def test_only_the_diagonal_is_read(kind, reader):
    """Each honest token, rightly signed, at each reader: its own takes it, every other refuses it by one of our errors."""
    if OWN.get(kind, kind) == reader:
        READERS[reader](HONEST[kind])
    else:
        with pytest.raises(DomainError):
            READERS[reader](HONEST[kind])


@pytest.mark.parametrize(
    "typ", [JWT_TYPE, "compute-hold+jwt", "compute-lease+jwt", "statuslist+jwt", "usage-receipt+jwt"]
)
@pytest.mark.parametrize("reader", ["presentation", "delegation"])
def test_no_issuers_token_is_a_holders(reader, typ):
    """Even with the claims of a proof or a delegation and the issuer's signature: the key and the header are others'."""
    claims = jws.parse_object(_payload(HONEST[reader]))
    for token in (
        jws.sign(claims, typ=typ, kid=KEY.kid, signer=PRIVATE.sign),
        jws.sign_embedded(claims, typ=typ, jwk=KEY.jwk(), alg="Ed25519", signer=PRIVATE.sign),
        jws.sign_embedded(claims, typ=typ, jwk=HOLDER_KEY.jwk(), alg="Ed25519", signer=HOLDER.sign),
    ):
        with pytest.raises(DomainError):
            READERS[reader](token)


def _payload(token):
    return json.dumps(jws.verify_embedded(token, type(KEY).from_jwk, _typ(token))[1]).encode()


def _typ(token):
    return {HONEST["presentation"]: presentation.TYPE, HONEST["delegation"]: delegation.TYPE}[token]


def test_the_cwt_of_a_list_is_no_voucher():
    """COSE types are told apart like JWT types, in both directions."""
    data = list_cwt()
    with pytest.raises(DomainError):
        read_voucher("SQ1:" + base45.b45encode(data).decode(), KEYS)
    with pytest.raises(DomainError):
        status_list.read(base45.b45decode(HONEST["voucher-cwt"].removeprefix("SQ1:")), KEYS)


GUARDED = sorted(
    {
        (min(route.methods - {"HEAD"}), route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, Route)
        and not any(PUBLIC.reach(action) is not Reach.NOTHING for action in actions_of(route))
    }
)
"""Every route that asks who is there; a file of the portal's pages is none of the API's."""
BEARERS = [*HONEST.values(), ""]
EACH = len(BEARERS) if ALL else 2
"""How many of the tokens each route is asked with; the routes take turns, so that every token meets many of them."""


def test_no_token_opens_a_route(service, installation):
    """Vouchers, proofs, lists and receipts as bearer tokens and as cookies on every guarded route: 401, and nothing changes."""
    assert len(GUARDED) > 100
    size = service.figures().entries
    for at, (method, path) in enumerate(GUARDED):
        address = re.sub(r"\{event_id\}", "0" * 32, path)
        address = re.sub(r"\{[^}]+\}", "x", address)
        for turn in range(EACH):
            text = BEARERS[(at * EACH + turn) % len(BEARERS)].replace("\n", "")
            scheme = ("Bearer", "DPoP")[(at + turn) % 2]
            headers = {"Authorization": f"{scheme} {text}"}
            answer = request(service.url, method, address, "{}" if method == "POST" else None, headers)
            assert_problem(answer, 401, "token-unknown")
        if at % 5 == 0:
            cookie = request(service.url, method, address, None, {"Cookie": f"suanquan_token={TOKEN}"})
            assert_problem(cookie, 401, "token-required")
    assert service.figures().entries == size
    assert installation


@pytest.mark.parametrize("path", SIGNED)
def test_no_token_stands_for_a_centres_signature(service, path):
    """Where a centre signs its request, a token in the body or the header is no signature: 401, and nothing changes."""
    size, address = service.figures().entries, path.replace("{hold}", "0" * 32)
    for token in BEARERS:
        text = token.replace("\n", "")
        kind = "application/cloudevents-batch+json" if path == "/v1/usage" else "application/json"
        headers = {"Content-Type": kind, "Authorization": f"Bearer {text}"}
        assert_problem(request(service.url, "POST", address, text, headers), 401, "signature-header-missing")
    assert service.figures().entries == size
