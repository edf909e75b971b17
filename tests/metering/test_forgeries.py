"""Many forged reports, drawn by the seed of the run."""

import base64
from random import Random

from tests.conftest import ALL
from tests.metering.test_signature import OTHER, code_of, signed

FORGED = 100_000 if ALL else 1_000


def forged(random):
    """A good request with something else in it: bits, characters, headers of another, a signature of another key."""
    headers = signed()
    match random.randrange(5):
        case 0:
            raw = int.from_bytes(base64.b64decode(headers["signature"][6:-1]))
            for _ in range(random.randrange(1, 4)):
                raw ^= 1 << random.randrange(512)
            return {**headers, "signature": f"sig1=:{base64.b64encode(raw.to_bytes(64)).decode()}:"}
        case 1:
            return {**headers, "signature": f"sig1=:{base64.b64encode(random.randbytes(64)).decode()}:"}
        case 2:
            return signed(OTHER, nonce=f"{random.getrandbits(128):032x}")
        case 3:
            name = random.choice(["content-digest", "idempotency-key", "signature-input"])
            other = signed(
                nonce=f"{random.getrandbits(128):032x}",
                idempotency_key=f"{random.random()}",
                body_sha256=random.randbytes(32),
            )
            return {**headers, name: other[name]}
    name = random.choice(sorted(headers))
    at, more = random.randrange(len(headers[name])), chr(random.randrange(32, 256))
    return {**headers, name: headers[name][:at] + more + headers[name][at + random.randrange(2) :]}


def test_no_forgery_of_many_is_taken(seed):
    """Whatever was changed, exchanged or signed by another key: none is taken (100,000 with `--all`), each is refused by a SignatureError."""
    random, good, tried = Random(seed), signed(), 0
    for _ in range(FORGED):
        headers = forged(random)
        if any(value.strip(" \t") != good[name] for name, value in headers.items()):
            code_of(headers)
            tried += 1
    assert tried > FORGED * 9 // 10, f"seed {seed}"
