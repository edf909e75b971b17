"""One home is made per run; every test gets a copy of it to itself."""

from http.cookiejar import DefaultCookiePolicy

import httpx2
import pytest

from suanquan.db.tokens import create_token
from suanquan.http.auth import COOKIE
from suanquan.settings import Settings
from tests.nats_servers import NatsServers
from tests.suanquan.harness import Agent, ThreadedService, give, install
from tests.suanquan.site import made_site
from tests.suanquan.stocked import stocked
from tests.suanquan.test_portal import FROM_HERE
from voucher.holder import sandbox_uscc

HOLDER = sandbox_uscc(1)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return install(tmp_path_factory.mktemp("template") / "home")


@pytest.fixture(scope="session")
def acted_on(tmp_path_factory):
    """A site on which tests act, each on what is its own."""
    with made_site(tmp_path_factory.mktemp("acted-on")) as site:
        yield site


@pytest.fixture(scope="session")
def browser(acted_on):
    """What asks that site for pages and keeps no cookies of its own."""
    with httpx2.Client(base_url=acted_on.url, headers=FROM_HERE, timeout=60) as client:
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield client


@pytest.fixture(scope="session")
def visit(acted_on, browser):
    """`visit(who, path, data, files)`: the page that somebody gets of that site, or gets after sending a form."""

    def go(who, path, data=None, files=None):
        cookie = {"Cookie": f"{COOKIE}={acted_on.tokens[who]}"} if who else {}
        if data is None:
            return browser.get(path, headers=cookie)
        return browser.post(path, data=data, files=files, headers=cookie)

    return go


@pytest.fixture(scope="session")
def untouched(tmp_path_factory):
    """A site that is only looked at."""
    with made_site(tmp_path_factory.mktemp("untouched")) as site:
        yield site


@pytest.fixture(scope="session")
def look(untouched):
    """`look(who, path)`: the page that somebody gets of that site."""
    with httpx2.Client(base_url=untouched.url, headers=FROM_HERE, timeout=60) as client:
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield lambda who, path: client.get(path, headers={"Cookie": f"{COOKIE}={untouched.tokens[who]}"} if who else {})


@pytest.fixture(scope="session")
def figured(template, tmp_path_factory):
    """A running service with figures and a signed head, tokens of each kind, and a voucher's token."""
    made = template.copy_to(tmp_path_factory.mktemp("office") / "home")
    with ThreadedService(made.home) as running:
        service = running.service
        voucher = running.call(give(service, HOLDER, "100000.50", accounts=["covered"]))
        running.call(give(service, sandbox_uscc(2), "12.5", unit="PFLOPS.h"))
        agent = Agent(running.url)
        agent.report(agent.event(1, subject="covered"), agent.event(2))
        running.call(service.log.sign())
        tokens = running.call(_tokens_of(service))
        yield running, tokens | {"voucher": voucher.token}


async def _tokens_of(service):
    wanted = (
        ("finance", "finance", ""),
        ("holder", "beneficiary_admin", HOLDER),
        ("centre", "centre_operator", "sj01"),
    )
    async with service.database.write() as connection:
        return {
            name: await create_token(connection, role, name, service.now_us, tenant=tenant)
            for name, role, tenant in wanted
        }


@pytest.fixture
def installation(template, tmp_path):
    return template.copy_to(tmp_path / "home")


@pytest.fixture
def service(installation):
    with ThreadedService(installation.home) as running:
        yield running


@pytest.fixture
def agent(service):
    return Agent(service.url)


@pytest.fixture
def servers(tmp_path):
    (tmp_path / "nats").mkdir()
    with NatsServers(tmp_path / "nats") as running:
        yield running


@pytest.fixture
def home_on(back_end, new_database, tmp_path, request):
    """A home on each database in turn, with a voucher for one of two accounts and the agent's key in a file."""
    if back_end.name == "sqlite":
        made = request.getfixturevalue("installation")
    else:
        made = install(tmp_path / "on-server", Settings(sandbox=True, database_url=new_database().url))
    return stocked(made)
