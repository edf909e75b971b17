"""Logging in at a provider of identities that really runs: only a linked account, only the browser that began, only once."""

import json
import time

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from joserfc.jwk import RSAKey

from suanquan.access.oidc import is_safe, read_provider
from suanquan.errors import ServiceError
from suanquan.home import write_secret
from suanquan.use_cases import first_account
from tests import oidc_provider
from tests.suanquan.harness import ThreadedService, assert_problem, request

PASSWORD = "correct horse battery"
JSON = {"Content-Type": "application/json"}
HERE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def provider():
    with oidc_provider.running() as found:
        yield found


@pytest.fixture(scope="module")
def service(provider, template, tmp_path_factory):
    home = template.copy_to(tmp_path_factory.mktemp("oidc") / "home").home
    text = home.settings_file.read_text().replace('oidc_issuer = ""', f'oidc_issuer = "{provider.url}"')
    text = text.replace('oidc_client_id = ""', f'oidc_client_id = "{oidc_provider.CLIENT}"')
    home.settings_file.write_text(text.replace('secret_file = ""', 'secret_file = "keys/oidc"'))
    write_secret(home.keys / "oidc", oidc_provider.SECRET.encode())
    with ThreadedService(home) as running:
        running.service.access.passwords.hasher = PasswordHasher.from_parameters(CHEAPEST)
        running.call(first_account.make_ready(running.service.access, PASSWORD))
        yield running


@pytest.fixture(autouse=True)
def honest(provider):
    """Every test begins with an honest provider."""
    provider.subject, provider.twist, provider.signs = "248289761001", {}, provider.key


def cookie_of(answer):
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def begin(service):
    """Where a browser is sent, and what it must bring back."""
    answer = request(service.url, "GET", "/v1/sessions/oidc")
    assert answer.status == 303, answer
    assert {"HttpOnly", "SameSite=lax"} <= set(answer.headers["set-cookie"].split("; "))
    return answer.headers["location"], cookie_of(answer)


def visit(provider, address):
    """What the provider sends a browser back with: path and query at our service."""
    answer = request(provider.url, "GET", address.removeprefix(provider.url))
    assert answer.status == 302, answer
    return answer.headers["location"]


def back(service, location, cookie):
    return request(service.url, "GET", location.removeprefix(service.url), headers=cookie)


def log_in(service, provider):
    address, cookie = begin(service)
    return back(service, visit(provider, address), cookie)


def link(service, provider, name):
    body = json.dumps({"name": name, "password": PASSWORD})
    session = cookie_of(request(service.url, "POST", "/v1/sessions", body, JSON)) | HERE
    began = request(service.url, "POST", "/v1/me/identities", "", session)
    assert began.status == 202, began
    return session, back(service, visit(provider, began.content["address"]), cookie_of(began))


def test_a_linked_account_is_logged_in_to(service, provider):
    """Nobody is known before the link, whatever address the provider gives; then he is, once for each way there; then not again."""
    assert_problem(log_in(service, provider), 403, "identity-unlinked")
    session, linked = link(service, provider, "经办")
    assert linked.status == 200, linked
    [one] = request(service.url, "GET", "/v1/me/identities", headers=session).content
    assert (one["issuer"], one["subject"]) == (provider.url, provider.subject)
    address, cookie = begin(service)
    location = visit(provider, address)
    done = back(service, location, cookie)
    assert done.status == 200
    assert b'http-equiv="refresh"' in done.content
    me = request(service.url, "GET", "/v1/me", headers=cookie_of(done))  # the last cookie that was set
    assert (me.content["name"], me.content["role"]) == ("经办", "programme_officer")
    assert_problem(back(service, location, cookie), 401, "identity-refused")
    assert_problem(link(service, provider, "财政")[1], 409, "identity-taken")
    ended = json.dumps({"issuer": one["issuer"], "subject": one["subject"]})
    assert request(service.url, "POST", "/v1/me/identities/end", ended, session | JSON).status == 200
    assert_problem(
        request(service.url, "POST", "/v1/me/identities/end", ended, session | JSON), 404, "identity-missing"
    )
    assert_problem(log_in(service, provider), 403, "identity-unlinked")


TWISTS = [
    {"nonce": "another"},
    {"iss": "https://evil.example"},
    {"aud": "another"},
    {"aud": [oidc_provider.CLIENT, "another"]},
    {"azp": "another"},
    {"exp": lambda now_s: now_s - 3_600},
    {"exp": "never"},
    {"iat": lambda now_s: now_s + 3_600},
    {"sub": ""},
    {"sub": "x" * 256},
]


@pytest.mark.parametrize("twist", TWISTS, ids=[f"{at}-{next(iter(twist))}" for at, twist in enumerate(TWISTS)])
def test_a_token_that_does_not_hold_opens_nothing(service, provider, twist):
    """Each claim is looked at, although the signature holds."""
    provider.twist = {name: said(int(time.time())) if callable(said) else said for name, said in twist.items()}
    assert_problem(log_in(service, provider), 401, "identity-refused")


def test_a_token_of_another_key_opens_nothing(service, provider):
    """The right claims under a key that the provider does not publish, with its name on it."""
    provider.signs = RSAKey.generate_key(2048, {"kid": "one"})
    assert_problem(log_in(service, provider), 401, "identity-refused")
    provider.signs = RSAKey.generate_key(2048, {"kid": "two"})
    assert_problem(log_in(service, provider), 401, "identity-refused")


def test_an_answer_is_for_the_browser_that_asked(service, provider):
    """Another browser's cookie, no cookie, no state; and a code that was caught is useless without its verifier (PKCE)."""
    address, cookie = begin(service)
    other_address, other = begin(service)
    location = visit(provider, address)
    for wrong in ({}, other, {"Cookie": "suanquan_oidc="}):
        assert_problem(back(service, location, wrong), 401, "identity-refused")
    state = "state=" + other["Cookie"].partition("=")[2]
    caught = location.partition("code=")[2].partition("&")[0]
    assert_problem(back(service, f"/v1/sessions/oidc/back?code={caught}&{state}", other), 401, "identity-refused")
    assert_problem(back(service, "/v1/sessions/oidc/back", cookie), 401, "identity-refused")
    assert "code_challenge_method=S256" in other_address


def test_without_a_provider_there_is_no_way_to_one(installation):
    """The settings name none: an honest 404."""
    with ThreadedService(installation.home) as running:
        assert_problem(request(running.url, "GET", "/v1/sessions/oidc"), 404, "provider-unset")


def test_a_provider_is_who_it_should_be():
    """Another issuer's document, or an address without TLS that is not this machine's, is refused."""
    good = {"issuer": "https://a.example", "authorization_endpoint": "https://a.example/a"}
    good |= {"token_endpoint": "https://a.example/t", "jwks_uri": "https://a.example/k"}
    assert read_provider(good, "https://a.example").keys == "https://a.example/k"
    for wrong in ({"issuer": "https://b.example"}, {"jwks_uri": "http://a.example/k"}, {"token_endpoint": None}):
        with pytest.raises(ServiceError):
            read_provider(good | wrong, "https://a.example")
    assert is_safe("http://127.0.0.1:1/x")
    assert not any(map(is_safe, ("http://a.example", "https://u:p@a.example", "file:///etc/passwd", "https:///x")))
