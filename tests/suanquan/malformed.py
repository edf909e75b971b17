"""Requests that are wrong in one of many ways, drawn by a seed, for a service whose addresses are known."""

import json
import random
from urllib.parse import quote

SKIPPED = {"/v1/findings/run"}
"""It starts a process at every request."""

BODIES = (
    *(b"", b"{", b"[" * 5000, b'{"a":' * 3000, b"null", b"[]", b"0", b'""', b"{}", b"NaN", b"-", b"\xef\xbb\xbf{}"),
    *(b'{"a":1,"a":2}', b'{"a":1e400}', b"9" * 5000, b'{"a":"\\ud800"}', b'{"a":"\x00"}', b"\xff\xfe{\x00}\x00"),
    *(b'{"\\u0000":"\\u0000"}', b"{" + b'"k":1,' * 9000 + b'"z":1}', b"\x1f\x8b\x08\x00", b"PK\x03\x04" + bytes(200)),
)
"""The traps of JSON, and what is none."""
TEXTS = (
    *("", "x", "0", "-1", "9" * 400, "1e309", "NaN", "null", "true", "%", "\x00", "\ud800".encode("utf-16", "surrogatepass").hex()),
    *("../../etc/passwd", "'; DROP TABLE entry;--", "{{7*7}}", "#eval(1)", "=1+1", "<script>alert(1)</script>", "券" * 300),
    *("\u202e", "\r\nX: y", "2026-02-30", "2026-11-22T25:00:00Z", "91310000M0001000X5", "SQD-20260101-000000000000"),
)  # fmt: skip
TYPES = (
    "application/json",
    "text/plain",
    "application/xml",
    "multipart/form-data",
    "application/json; charset=utf-16",
    "",
)


class Malformed:
    """`operations` are (method, path, names of the members of its body); `tokens` open something."""

    def __init__(self, operations, tokens, seed):
        self._random = random.Random(seed)
        self._operations = [one for one in operations if one[1] not in SKIPPED]
        self._tokens = tokens

    def request(self):
        """Bytes of one request, and whether they are HTTP at all."""
        draw = self._random
        method, path, members = draw.choice(self._operations)
        if draw.random() < 0.05:
            method = draw.choice(("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD"))
        body = self._body(members) if method in {"POST", "PUT", "PATCH"} else b""
        lines = [f"{method} {self._address(path)} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self._headers(body)]
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        return (self._broken(data), False) if draw.random() < 0.1 else (data, True)

    def _text(self):
        return self._random.choice(TEXTS)

    def _address(self, path):
        draw = self._random
        parts = [quote(self._text(), safe="") if "{" in part else part for part in path.split("/")]
        query = [f"{draw.choice(('after', 'limit', 'on', 'centre', 'form', 'x'))}={quote(self._text())}" for _ in range(draw.randrange(3))]  # fmt: skip
        return "/".join(parts) + ("?" + "&".join(query) if query else "")

    def _headers(self, body):
        draw = self._random
        if body:
            yield "Content-Type", draw.choice(TYPES)
        if draw.random() < 0.6:
            yield "Authorization", f"Bearer {draw.choice(self._tokens)}"
        elif draw.random() < 0.3:
            yield "Authorization", draw.choice(("Bearer", "Bearer ", "Basic YTpi", "Bearer " + "a" * 500, "é"))
        if draw.random() < 0.5:
            yield "Idempotency-Key", draw.choice(("k", "a" * 255, "a" * 256, str(draw.random())))
        if draw.random() < 0.2:
            yield draw.choice(("Signature", "Signature-Input", "Content-Digest", "Accept", "If-None-Match", "Cookie", "Origin")), draw.choice(("sig1=:x:", 'sig1=("@method")', "sha-256=:x:", "*", "a=b", "="))  # fmt: skip

    def _body(self, members):
        draw = self._random
        if draw.random() < 0.4:
            return draw.choice(BODIES)
        values = (*TEXTS, 0, -1, 2**63, 2**200, None, True, [], {}, [[]], {"a": {"b": []}}, ["x"] * 200)
        body = {name: draw.choice(values) for name in members if draw.random() < 0.8}
        if draw.random() < 0.3:
            body[self._text()] = draw.choice(values)
        data = json.dumps(body).encode()
        return data if draw.random() < 0.7 else data.replace(b'"', draw.choice((b"'", b"", b'\\"')), 1)

    def _broken(self, data):
        draw, data = self._random, bytearray(data)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(data))
            data[at : at + draw.randrange(6)] = draw.choice((b"", b"\r\n", b"\x00", b": ", b" ", draw.randbytes(3)))
        return bytes(data)


def operations_of(document, signed):
    """What there is to ask: of the OpenAPI document, and of the addresses that agents post to."""
    parts = document["components"]["schemas"]

    def members(operation):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        named = parts.get(content.get("$ref", "").rpartition("/")[2], content)
        return tuple(named.get("properties", ())) or (
            "officer",
            "reason",
            "payee",
            "scheme",
            "round",
            "centre",
            "records",
        )

    found = [
        (method.upper(), path, members(operation))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return [*found, *(("POST", path, ("specversion", "source", "data", "proof")) for path in signed)]
