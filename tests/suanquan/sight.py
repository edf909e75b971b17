"""A home on either database for tests of registers and findings, opened once for a module; and agents that report to it."""

import asyncio
import contextlib
import itertools
import secrets
from hashlib import sha256

from metering.agent.events import batch_body, encode_event, number_event
from metering.batch import decode_cloudevents
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases.ingest import Request, ingest
from tests.suanquan.harness import PASSPHRASE, install

BACK_ENDS = ["sqlite", "postgresql"]


class Here:
    """An opened service in a loop of its own: `run(work)` awaits there."""

    def __init__(self, service, runner):
        self.service, self.run = service, runner.run
        self._sequence = itertools.count(1)

    def do(self, work):
        """What `work(tx)` gives, recorded."""
        return self.run(self.service.journal.transact(work))

    def read(self, work):
        """What `work(connection)` finds."""

        async def look():
            async with self.service.database.read() as connection:
                return await work(connection)

        return self.run(look())

    def report(self, *records, centre="sj01", agent="test"):
        """Codes (or statuses) of a batch that an agent sends."""
        source = f"urn:centre:{centre}:agent:{agent}"
        body = batch_body(number_event(encode_event(one, source), next(self._sequence)) for one in records)
        batch = decode_cloudevents(body, self.service.now_us)
        nonce = secrets.token_hex(16)
        about = Request(centre, "kid", nonce, self.service.now_us + 1, nonce, sha256(body).digest())
        rules, issuer = self.service.rules, self.service.issuer
        answer = self.run(
            self.service.journal.transact(lambda tx: ingest(tx, about, batch, rules, issuer), keeps_memo=True)
        )
        return [result.code or result.status for result in answer.results]


@contextlib.contextmanager
def opened(request, tmp_path_factory, name):
    """`Here` on the back end that the fixture's request names."""
    databases = request.getfixturevalue("databases") if request.param == "postgresql" else None
    place = databases.create(name) if databases else None
    settings = Settings(sandbox=True, database_url=place.url) if place else Settings(sandbox=True)
    home = install(tmp_path_factory.mktemp(name) / "home", settings).home
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        service = runner.run(stack.enter_async_context(open_service(home, PASSPHRASE)))
        yield Here(service, runner)
        runner.run(stack.aclose())
    if place:
        databases.drop(place)
