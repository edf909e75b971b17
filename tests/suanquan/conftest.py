"""One home is made per run; every test gets a copy of it to itself."""

import pytest

from tests.suanquan.harness import Agent, ThreadedService, install


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
