"""A report's signature holds for exactly what was signed, within its time, under a known key; each fault has its own code."""

import base64
import datetime as dt
import hashlib
import json
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, MappingKeyResolver
from http_message_signatures.algorithms import ED25519
from hypothesis import given
from hypothesis import strategies as st

from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from metering import signature
from metering.signature import SignatureError, SignatureInput
from tests.shared_data import SHARED, needs_shared

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"a" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"b" * 32)
KEYS = {PublicKey.of(key).kid: PublicKey.of(key) for key in (PRIVATE, OTHER)}
KID = PublicKey.of(PRIVATE).kid
URI = "https://quan.example/v1/usage"
BODY = b'[{"specversion":"1.0"}]'
NOW = 1_795_310_222
NONCE = "0123456789abcdefghijklmn"
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def signed(private=PRIVATE, **changes):
    given = {
        "method": "POST",
        "target_uri": URI,
        "content_type": "application/cloudevents-batch+json",
        "body_sha256": hashlib.sha256(BODY).digest(),
        "idempotency_key": "k-1",
        "created_s": NOW,
        "nonce": NONCE,
    }
    return signature.sign(private, KID, **given | changes)


def check(headers, *, method="POST", uri=URI, body=BODY, now=NOW, keys=KEYS):
    lines = headers.items() if isinstance(headers, dict) else headers
    return signature.verify(method, uri, lines, hashlib.sha256(body).digest(), now_s=now, key_of=keys.get)


def code_of(*arguments, **keywords):
    with pytest.raises(SignatureError) as caught:
        check(*arguments, **keywords)
    assert caught.value.kind is Kind.PROOF
    return caught.value.code


def resigned(text, headers=None):
    """Headers whose signature really is over the given Signature-Input: only the rules can refuse them."""
    headers = dict(headers or signed())
    parameters = text.partition("=")[2]
    names = [name for name in parameters.partition(")")[0].strip("(").replace('"', "").split(" ") if name]
    values = {**headers, "@method": "POST", "@target-uri": URI, "date": "now", "@authority": "quan.example"}
    base = signature.signature_base([(name, values.get(name, "")) for name in names], parameters)
    headers["signature-input"] = text
    headers["signature"] = f"{text.partition('=')[0]}=:{base64.b64encode(PRIVATE.sign(base)).decode()}:"
    return headers


def test_what_was_signed_verifies_and_names_its_key_and_nonce():
    """A signed report verifies and tells the caller what it must look up: key, nonce, and how long to remember it."""
    assert check(signed()) == SignatureInput(KID, NONCE, NOW, NOW + 300)


def test_header_names_are_case_insensitive_and_other_headers_do_not_matter():
    """Field names in any case, surrounding blanks and other fields, repeated or not, change nothing."""
    lines = [("Accept", "a"), ("accept", "b"), *((name.title(), f" {value}\t") for name, value in signed().items())]
    assert check(lines).keyid == KID


def test_order_of_components_and_parameters_is_the_signers_choice():
    """RFC 9421 leaves the order to the signer; the signature is over the order that was sent."""
    covered = " ".join(f'"{name}"' for name in reversed(signature.COMPONENTS))
    text = f'sig1=({covered});tag="compute-usage";keyid="{KID}";nonce="{NONCE}";expires={NOW + 1};created={NOW}'
    assert check(resigned(text)).expires_s == NOW + 1


FOLDER = SHARED / "vectors/http-signatures-rfc9421"
VECTORS = sorted(path.name for path in FOLDER.glob("B.2.*.json")) if FOLDER.is_dir() else []


@needs_shared
@pytest.mark.parametrize("name", VECTORS)
def test_the_rfcs_vectors_hold_over_the_same_base_and_are_no_reports(name):
    """RFC 9421 B.2, signed by its authors, verifies over the base that this module builds; in our profile each is refused."""
    fields = {name.lower(): value for name, value in json.loads((FOLDER / name).read_text())["headers"].items()}
    values = {
        **fields,
        "@method": "POST",
        "@path": "/foo",
        "@query": "?param=Value&Pet=dog",
        "@authority": "example.com",
    }
    label, _, parameters = fields["signature-input"].partition("=")
    names = parameters.partition(")")[0].strip("(").replace('"', "").split()
    base = signature.signature_base([(name, values[name]) for name in names], parameters)
    given = base64.b64decode(fields["signature"].removeprefix(f"{label}=").strip(":"))
    if "ed25519" in parameters:
        public = load_pem_public_key((FOLDER / "test-key-ed25519.pem").read_bytes())
        assert PublicKey(public.public_bytes_raw()).verify(given, base)
    else:
        rsa = load_pem_public_key((FOLDER / "test-key-rsa-pss.pem").read_bytes())
        rsa.verify(given, base, padding.PSS(padding.MGF1(hashes.SHA512()), 64), hashes.SHA512())
    uri = "https://example.com/foo?param=Value&Pet=dog"
    found = code_of({**fields, "idempotency-key": "k"}, uri=uri, body=b'{"hello": "world"}', now=1_618_884_473)
    assert found.startswith("signature-")


def message(headers):
    return SimpleNamespace(method="POST", url=URI, headers=dict(headers))


class Verifier(HTTPMessageVerifier):
    max_clock_skew = dt.timedelta(days=36500)


def test_another_implementation_verifies_ours():
    """An independent RFC 9421 library accepts what `sign` makes, body included, and refuses another body."""
    verifier = Verifier(
        signature_algorithm=ED25519,
        key_resolver=MappingKeyResolver(public_keys={KID: PRIVATE.public_key()}, private_keys={}),
    )
    wanted = {"expect_tag": "compute-usage", "expect_label": "sig1", "require_components": signature.COMPONENTS}
    [result] = verifier.verify(message(signed()), body=BODY, **wanted)
    assert result.nonce == NONCE
    with pytest.raises(Exception, match="igest"):
        verifier.verify(message(signed()), body=BODY + b" ", **wanted)


@pytest.mark.parametrize("include_alg", [False, True])
def test_ours_verifies_another_implementation(include_alg):
    """What an independent RFC 9421 library signs in this shape verifies; naming the algorithm, ed25519, is allowed."""
    signer = HTTPMessageSigner(
        signature_algorithm=ED25519, key_resolver=MappingKeyResolver(public_keys={}, private_keys={KID: PRIVATE})
    )
    request = message({"Content-Type": "application/cloudevents-batch+json", "Idempotency-Key": "k-1"})
    signer.sign(
        request,
        key_id=KID,
        created=dt.datetime.fromtimestamp(NOW, dt.UTC),
        expires=dt.datetime.fromtimestamp(NOW + 300, dt.UTC),
        nonce=NONCE,
        label="sig1",
        tag="compute-usage",
        include_alg=include_alg,
        covered_component_ids=signature.COMPONENTS,
        body=BODY,
    )
    assert check(request.headers) == SignatureInput(KID, NONCE, NOW, NOW + 300)


COVERED = '("@method" "@target-uri" "content-type" "content-digest" "idempotency-key")'
PARAMETERS = f';created={NOW};expires={NOW + 300};nonce="{NONCE}";keyid="{KID}";tag="compute-usage"'
INPUT = f"sig1={COVERED}{PARAMETERS}"

BROKEN_INPUTS = {
    "label": ("signature-label", INPUT.replace("sig1", "sig2", 1)),
    "not a member": ("signature-input-malformed", "sig1"),
    "bare item": ("signature-input-malformed", "sig1=:AAAA:"),
    "extra space": ("signature-input-malformed", INPUT.replace('" "', '"  "', 1)),
    "space before parameter": ("signature-input-malformed", INPUT.replace(";created", "; created")),
    "component parameter": ("signature-input-malformed", INPUT.replace('"@method"', '"@method";req')),
    "token for a component": ("signature-input-malformed", INPUT.replace('"@method"', "@method")),
    "two names in one string": ("signature-component-unknown", INPUT.replace('"@method" "@target', '"@method @target')),
    "bare parameter": ("signature-input-malformed", INPUT + ";debug"),
    "negative time": ("signature-input-malformed", INPUT.replace("created=", "created=-")),
    "decimal time": ("signature-input-malformed", INPUT.replace(f"created={NOW}", f"created={NOW}.5")),
    "leading zero": ("signature-input-malformed", INPUT.replace("created=", "created=0")),
    "escape in a string": ("signature-input-malformed", INPUT.replace(NONCE, NONCE + "\\\\")),
    "very long": ("signature-input-malformed", INPUT.replace(KID, "k" * 2000)),
    "unknown component": ("signature-component-unknown", INPUT.replace('key")', 'key" "date")')),
    "capital component": ("signature-component-unknown", INPUT.replace("content-type", "Content-Type")),
    "repeated component": ("signature-component-repeated", INPUT.replace('key")', 'key" "@method")')),
    "no component": ("signature-component-missing", INPUT.replace(COVERED, "()")),
    "unknown parameter": ("signature-parameter-unknown", INPUT + ";level=1"),
    "repeated parameter": ("signature-parameter-repeated", INPUT + f";created={NOW}"),
    "quoted time": ("signature-parameter-malformed", INPUT.replace(f"created={NOW}", f'created="{NOW}"')),
    "number for a key": ("signature-parameter-malformed", INPUT.replace(f'"{KID}"', "1")),
    "number for an algorithm": ("signature-parameter-malformed", INPUT + ";alg=1"),
    "tag": ("signature-tag", INPUT.replace("compute-usage", "compute-hold")),
    "algorithm none": ("signature-algorithm", INPUT + ';alg="none"'),
    "algorithm hmac": ("signature-algorithm", INPUT + ';alg="hmac-sha256"'),
    "nonce too short": ("signature-nonce", INPUT.replace(NONCE, "n" * 15)),
    "nonce too long": ("signature-nonce", INPUT.replace(NONCE, "n" * 65)),
    "lives too long": ("signature-lifetime", INPUT.replace(f"expires={NOW + 300}", f"expires={NOW + 301}")),
    "ends before it starts": ("signature-lifetime", INPUT.replace(f"expires={NOW + 300}", f"expires={NOW}")),
    "unknown key": ("signature-key-unknown", INPUT.replace(KID, "someone")),
    **{
        f"without {name}": (
            "signature-component-missing",
            INPUT.replace(f'"{name}" ', "").replace(f' "{name}")', ")"),
        )
        for name in signature.COMPONENTS
    },
    **{
        f"without {part.partition('=')[0]}": ("signature-parameter-missing", INPUT.replace(f";{part}", ""))
        for part in PARAMETERS.strip(";").split(";")
    },
}


@pytest.mark.parametrize("fault", BROKEN_INPUTS)
def test_a_rightly_signed_request_outside_the_profile_is_refused(fault):
    """Every departure from the one shape is refused under its own code, though the key's owner signed it."""
    code, text = BROKEN_INPUTS[fault]
    assert text != INPUT
    assert code_of(resigned(text)) == code


def test_the_table_above_starts_from_a_good_request():
    """The input that the faults are made from verifies, so each fault is the only one."""
    assert check(resigned(INPUT)).nonce == NONCE


def changed(name, old, new):
    headers = signed()
    assert old in headers[name]
    return {**headers, name: headers[name].replace(old, new, 1)}


def stretched_signature():
    """The same signature with S + L in place of S: equal modulo the group order, another string of bytes."""
    raw = base64.b64decode(signed()["signature"][6:-1])
    malleable = raw[:32] + (int.from_bytes(raw[32:], "little") + GROUP_ORDER).to_bytes(32, "little")
    return {**signed(), "signature": f"sig1=:{base64.b64encode(malleable).decode()}:"}


def other_spelling():
    """The same 64 bytes in base64 with a stray bit, which a lenient decoder ignores."""
    text = signed()["signature"]
    last = text[-4]
    other = text[:-4] + chr(ord(last) + 1) + text[-3:]
    assert base64.b64decode(other[6:-1]) == base64.b64decode(text[6:-1])
    return {**signed(), "signature": other}


FORGERIES = {
    "key of another": ("signature-wrong", lambda: changed("signature-input", KID, PublicKey.of(OTHER).kid)),
    "content type": ("signature-wrong", lambda: changed("content-type", "batch+json", "json")),
    "idempotency key": ("signature-wrong", lambda: changed("idempotency-key", "k-1", "k-2")),
    "nonce": ("signature-wrong", lambda: changed("signature-input", NONCE, NONCE[::-1])),
    "created": ("signature-wrong", lambda: changed("signature-input", f"created={NOW}", f"created={NOW + 1}")),
    "malleable S": ("signature-wrong", stretched_signature),
    "digest": ("content-digest-mismatch", lambda: {**signed(), "content-digest": signature.content_digest(b"d" * 32)}),
    "digest algorithm": ("content-digest-malformed", lambda: changed("content-digest", "sha-256", "sha-512")),
    "second digest": (
        "content-digest-malformed",
        lambda: changed("content-digest", "sha-256=:", "sha-256=:A:, sha-256=:"),
    ),
    "short digest": ("content-digest-malformed", lambda: {**signed(), "content-digest": "sha-256=:AAAA:"}),
    "bad base64": ("signature-malformed", lambda: {**signed(), "signature": "sig1=:%%%:"}),
    "missing padding": ("signature-malformed", lambda: changed("signature", "==:", ":")),
    "other spelling": ("signature-malformed", other_spelling),
    "empty signature": ("signature-malformed", lambda: {**signed(), "signature": "sig1=::"}),
    "truncated": ("signature-malformed", lambda: {**signed(), "signature": signed()["signature"][:60] + ":"}),
    "other label": ("signature-label", lambda: changed("signature", "sig1", "sig2")),
    "second signature": (
        "signature-several",
        lambda: {**signed(), "signature": signed()["signature"] + ", sig2=:AA==:"},
    ),
    "second input": (
        "signature-several",
        lambda: {**signed(), "signature-input": signed()["signature-input"] + ", proxy=();created=1"},
    ),
    "line break": ("signature-component-malformed", lambda: {**signed(), "idempotency-key": 'k\n"@method": GET'}),
    "not ASCII": ("signature-component-malformed", lambda: {**signed(), "idempotency-key": "键"}),
    **{
        f"no {name}": ("signature-header-missing", lambda name=name: {**signed(), name: ""})
        for name in ("content-type", "content-digest", "idempotency-key", "signature-input", "signature")
    },
    **{
        f"two {name}": ("signature-header-repeated", lambda name=name: [*signed().items(), (name, "x")])
        for name in ("content-type", "content-digest", "idempotency-key", "signature-input", "signature")
    },
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_changed_request_is_refused(forgery):
    """Nothing that was signed can be changed, doubled, dropped or spelled otherwise."""
    code, make = FORGERIES[forgery]
    assert code_of(make()) == code


def test_method_target_and_body_are_bound():
    """The same headers are refused for another method, another address, another query or another body."""
    assert code_of(signed(), method="PUT") == "signature-wrong"
    assert code_of(signed(), uri="https://other.example/v1/usage") == "signature-wrong"
    assert code_of(signed(), uri=URI + "?x=1") == "signature-wrong"
    assert code_of(signed(), body=b"[]") == "content-digest-mismatch"


def test_a_key_that_is_no_longer_known_is_refused():
    """A key that the registry withholds, for whatever reason, proves nothing."""
    assert code_of(signed(), keys={}) == "signature-key-unknown"


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (NOW - 60, None),
        (NOW - 61, "signature-created-in-future"),
        (NOW + 300, None),
        (NOW + 301, "signature-expired"),
    ],
)
def test_time_has_sharp_edges(now, code):
    """A signer may be 60 s ahead and a signature lives to the second that it names."""
    if code is None:
        assert check(signed(), now=now).created_s == NOW
    else:
        assert code_of(signed(), now=now) == code


def test_the_message_tells_the_skew():
    """An agent with a wrong clock learns how wrong it is, in both languages."""
    with pytest.raises(SignatureError) as caught:
        check(signed(), now=NOW - 400)
    assert "400 秒" in caught.value.zh
    assert "400 s ahead" in caught.value.en


def test_no_flipped_bit_of_a_signature_passes():
    """Each of the 512 bits of a signature counts."""
    raw = base64.b64decode(signed()["signature"][6:-1])
    for bit in range(512):
        flipped = (int.from_bytes(raw) ^ 1 << bit).to_bytes(64)
        assert code_of({**signed(), "signature": f"sig1=:{base64.b64encode(flipped).decode()}:"}) == "signature-wrong"


@given(
    name=st.sampled_from(sorted(signed())),
    position=st.integers(0, 1000),
    character=st.characters(codec="latin-1"),
)
def test_no_changed_character_passes(name, position, character):
    """Whatever character of whatever header is replaced, the request is refused by a SignatureError and nothing else."""
    value = signed()[name]
    position %= len(value)
    altered = value[:position] + character + value[position + 1 :]
    if altered.strip(" \t") != value:
        code_of({**signed(), name: altered})


@given(st.text(max_size=80), st.sampled_from(sorted(signed())))
def test_garbage_is_refused_in_order(garbage, name):
    """Any text in any header is refused by a SignatureError and nothing else."""
    code_of({**signed(), name: garbage})
