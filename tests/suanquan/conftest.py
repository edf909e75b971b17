"""One home is made per run; every test gets a copy of it to itself."""

import pytest

from suanquan.settings import Settings
from tests.nats_servers import NatsServers
from tests.suanquan.harness import Agent, ThreadedService, install
from tests.suanquan.stocked import stocked


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return install(tmp_path_factory.mktemp("template") / "home")


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
