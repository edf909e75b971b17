"""A home seen from both sides, HTTP and the command line, with one clock that the test moves."""

import json

from suanquan.db import notices
from suanquan.server import listen, serving
from suanquan.service import open_service
from suanquan.use_cases.reminders import remind
from tests.suanquan.command import suanquan
from tests.suanquan.harness import PASSPHRASE, ThreadedService, request


class MovedService(ThreadedService):
    """A service whose clock the test moves."""

    def __init__(self, home, clock):
        super().__init__(home)
        self._clock = clock

    async def _open(self):
        opened = open_service(self._home, PASSPHRASE, self._clock)
        self.service = await self._stack.enter_async_context(opened)
        await self._stack.enter_async_context(serving(self.service, listen(self.service, None, 0)))
        self.url = self.service.settings.url


class Bureau:
    """One home seen from both sides: `http` with a person's token, `run` as `suanquan … --as PERSON` at the clock's instant."""

    def __init__(self, home, clock, service, folder):
        self.clock = clock
        self._home, self.service, self._folder = home, service, folder
        self.tokens = {}

    def run(self, *arguments):
        environment = {"SUANQUAN_HOME": str(self._home.path), "SUANQUAN_SANDBOX_CLOCK": self.clock.text}
        return suanquan(*arguments, "--json", cwd=self._folder, environment=environment)

    def ok(self, *arguments):
        done = self.run(*arguments)
        assert done.status == 0, done.err
        return done.json

    def http(self, method, path, person=None, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if person is not None:
            headers["Authorization"] = f"Bearer {self.tokens[person]}"
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return request(self.service.url, method, path, data, headers)

    def post(self, path, person, body, **headers):
        return self.http("POST", f"/v1/subsidies/{path}", person, body, **headers)

    def step_by_http(self, found, actor, step, inputs):
        return self.post(f"applications/{found}/steps/{step}", actor.person, inputs)

    def step_by_command(self, found, actor, step, inputs):
        options = []
        for name, value in inputs.items():
            if name == "facts":
                options += [f"--fact={fact}={json.dumps(plain)}" for fact, plain in value.items()]
            else:
                options.append(f"--{name.removesuffix('_yuan').replace('_', '-')}={value}")
        return self.run("application", "step", found, step, "--as", actor.person, *options)

    def submit_by_command(self, person, content, name="application.json"):
        (self._folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return self.run("application", "submit", name, "--as", person)

    def told(self, kind):
        """Audience and subject of each notice of a kind, after the reminders that are due."""

        async def look(service):
            await remind(service)
            async with service.database.read() as conn:
                return set(await notices.newest_about(conn, kind))

        return self.service.call(look(self.service.service))
