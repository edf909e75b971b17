"""The OpenAPI document says what the service does: schemathesis asks every operation, in every phase, and finds no lie and no 5xx."""

import asyncio
import collections

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from suanquan.http.app import create_app
from tests.conftest import ALL
from tests.suanquan.harness import ThreadedService
from tests.suanquan.stocked import stocked

SHARE = 1 if ALL else 12
"""An ordinary run asks every twelfth address, which of them by the seed; `--all` asks every one, with many examples."""
EXAMPLES = 30 if ALL else 1
SLOW = {"/v1/findings/run"}
"""It starts a process at every request."""
REFUSED = ["400", "401", "403", "404", "405", "406", "408", "409", "413", "415", "422", "429", "431"]
"""What is documented as a refusal. 422 is also the answer to a body that has the form and breaks a rule of the subject (a code
whose check digit is wrong), which the document cannot say."""


def bridged(running, app):
    """The application as schemathesis calls it from a loop of its own; it works in the loop of its service."""

    async def bridge(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("the service is up already")
        here = asyncio.get_running_loop()

        def there(awaitable):
            return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(awaitable, here))

        async def receive_there():
            return await there(receive())

        async def send_there(message):
            await there(send(message))

        work = asyncio.run_coroutine_threadsafe(app(scope, receive_there, send_there), running._loop)
        await asyncio.wrap_future(work)

    return bridge


def configured(token, seed):
    listed = "GET /status-lists/{name}"  # draft-ietf-oauth-status-list wants 501 for a past that is not kept
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "suppress-health-check": ["all"],
            "request-timeout": 120,
            "headers": {"Authorization": f"Bearer {token}"},
            "generation": {"max-examples": EXAMPLES, "no-shrink": True, "database": "none"},
            "phases": {
                "coverage": {"unexpected-methods": ["delete", "patch", "trace", "options"] if ALL else ["options"]},
                "stateful": {"max-steps": 20 if ALL else 4},
            },
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", "501", "503", *REFUSED]},
                "negative_data_rejection": {"expected-statuses": REFUSED},
                "allow_header_conformance": {"enabled": False},  # what agents sign at an address is not in the document
            },
            "operations": [
                {"include-name": listed, "checks": {"not_a_server_error": {"expected-statuses": ["2xx", "4xx", "501"]}}}
            ],
        }
    )


@pytest.mark.timeout(7200 if ALL else 240)
def test_the_document_says_what_the_service_does(installation, seed):
    """All phases (examples, coverage, fuzzing, stateful): every answer is documented, no request crashes, refusals refuse."""
    with ThreadedService(stocked(installation).home) as running:
        app = create_app(running.service)
        inner = app._app._app
        inner.state.rates.take = lambda *_: None  # one caller asks more than one caller may
        document = inner.openapi()
        asked = [path for path in sorted(document["paths"])[seed % SHARE :: SHARE] if ALL or path not in SLOW]
        inner.openapi_schema = document | {"paths": {path: document["paths"][path] for path in asked}}
        bridge = bridged(running, app)
        config = configured(installation.token, seed)
        faults, requests = look(schemathesis.openapi.from_asgi("/openapi.json", bridge, config=config))
    print(f"{dict(requests)} requests to {len(asked)} of {len(document['paths'])} addresses, seed {seed}")
    assert not faults, "\n\n".join(faults)
    assert requests["coverage"] > 5 * len(asked)
    assert requests.keys() >= {"coverage", "fuzzing"}
    assert not ALL or min(requests[phase] for phase in ("examples", "coverage", "fuzzing", "stateful")) > 0, requests


def look(schema):
    faults, requests = [], collections.Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            faults.append(f"{getattr(event, 'label', '')}: {getattr(event, 'value', None) or event.exception!r}")
        if not isinstance(event, events.ScenarioFinished):
            continue
        requests[event.phase.value] += len(event.recorder.interactions)
        for case, checks in event.recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    found = event.recorder.cases[case].value
                    faults.append(f"{check.name}: {check.failure_info.failure}\n{found.as_curl_command()}")
    return faults, requests
