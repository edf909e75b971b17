"""What `bench holds` is compared with: a service that verifies every signature of a hold, and records nothing."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from suanquan.home import Home, read_passphrase
from suanquan.http.at_once import at_once
from suanquan.http.direct import Direct
from suanquan.http.holds import Spending, verified_hold
from suanquan.http.limits import Limits
from suanquan.http.problem import refuse
from suanquan.http.rates import KEYS_BURST, KEYS_PER_SECOND, Rates
from suanquan.http.usage import AgentKeys
from suanquan.server import bind, configure_logging, http_server, on_signals, run_loop
from suanquan.service import open_service
from suanquan.use_cases.spend_acts import Faulty


async def _check(request: Request) -> Response:
    _, act = await verified_hold(request, None)
    if isinstance(act, Faulty):
        raise act.error
    return Response(b'{"checked":true}', media_type="application/json")


async def _main(home: Home) -> None:
    async with open_service(home, read_passphrase(home.path / "demo-passphrase")) as service:
        app = Starlette()
        app.state.service, app.state.agent_keys, app.state.spending = service, AgentKeys(service), Spending(service)
        app.state.agent_rates = Rates(time.monotonic_ns, KEYS_PER_SECOND, KEYS_BURST)
        app.state.at_once = at_once(service.settings)
        listener = bind("127.0.0.1", 0)
        listener.listen(128)
        routes = {"/v1/holds": _check}  # on the short way that the service's own take
        server = http_server(Limits(Direct(app, app, routes), refuse, app.state.at_once))
        on_signals(lambda number: server.handle_exit(number, None))
        sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        await server.serve(sockets=[listener])


if __name__ == "__main__":
    configure_logging()
    run_loop(_main(Home(Path(sys.argv[1]))))
