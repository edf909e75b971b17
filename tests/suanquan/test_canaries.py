"""Canaries in every input: what callers send as secrets is told to nobody, and nothing they send stands in the log or the metrics."""

import json
from pathlib import Path
from urllib.parse import quote, urlencode

from suanquan.http.app import PAGES, SIGNED
from tests.suanquan.harness import ProcessService, request
from tests.suanquan.malformed import operations_of

SECRET = ("password", "token", "code", "secret", "passphrase", "old", "new", "kept", "key")
"""Members whose very names say that nobody else may see them."""
FIELDS = (*SECRET, "name", "reason", "holder", "project", "account", "url", "address", "text", "file")


class Cage:
    """Gives every input a bird of its own, and knows which of them may be heard in an answer."""

    def __init__(self):
        self.birds = {}

    def take(self, place):
        """A new canary, of the shape that secrets have."""
        bird = f"sqt_CANARY{len(self.birds):05d}x"
        self.birds[bird] = place
        return bird

    def secret(self):
        """Those that no answer may repeat."""
        return [bird for bird, place in self.birds.items() if place in {"header", *SECRET}]


def operations(service):
    """Every operation of the API and every page, with the names of what it takes."""
    yield from operations_of(request(service.url, "GET", "/openapi.json").content, SIGNED)
    for pages in PAGES:
        for route in pages.routes:
            for method in sorted(route.methods - {"HEAD"}):
                yield method, route.path, FIELDS


def body_of(method, path, members, cage):
    """What is sent, and of which type: a form to a page, JSON to the API."""
    if method not in {"POST", "PUT", "PATCH"}:
        return None, ""
    values = {name: cage.take(name) for name in {*members, *SECRET}}
    if path.startswith(("/v1/", "/.well-known/")):
        return json.dumps(values).encode(), "application/json"
    return urlencode(values).encode(), "application/x-www-form-urlencoded"


def test_no_input_is_told_to_anybody(installation):
    """Headers, cookies, parameters and members, asked without a name and as an administrator, and of unsound JSON."""
    cage, log = Cage(), installation.home.path / "log"
    with ProcessService(installation, log) as service:
        asked = 0
        for method, path, members in operations(service):
            address = "/".join("none" if "{" in part else part for part in path.split("/"))
            for known in (False, True):
                body, kind = body_of(method, path, members, cage)
                query = urlencode({name: cage.take("query") for name in ("token", "q", "after")})
                sent = {
                    "Cookie": f"suanquan_session={cage.take('header')}; other={cage.take('header')}",
                    "Authorization": f"Bearer {installation.token if known else cage.take('header')}",
                    "X-Forwarded-For": cage.take("header"),
                    "User-Agent": cage.take("header"),
                    "Referer": f"http://{cage.take('header')}/",
                    "Idempotency-Key": cage.take("header"),
                    **({"Content-Type": kind} if kind else {}),
                }
                if known and kind == "application/json" and asked % 5 == 0:
                    body = body[:-1]  # no JSON any more
                answer = request(service.url, method, f"{address}?{query}", body, sent)
                asked += 1
                assert answer.status < 500, (method, path, answer)
                told = repr(answer)
                heard = [cage.birds[bird] for bird in cage.secret() if bird in told or quote(bird) in told]
                assert not heard, (method, path, heard)
        assert asked > 400
        metrics = repr(request(service.url, "GET", "/metrics"))
        assert service.stop() == 0
    said = metrics + Path(log).read_text(encoding="utf-8")
    assert '"event": "request"' in said
    assert "CANARY" not in said, said[max(said.index("CANARY") - 300, 0) :][:600]
