"""The policy documents and calendars of the repository, read once."""

import pytest

from subsidy.calendar import Calendar, load_calendar
from subsidy.policies import Policies, load_policies
from tests.shared_data import ROOT


@pytest.fixture(scope="session")
def policies() -> Policies:
    return load_policies(ROOT / "config" / "policies")


@pytest.fixture(scope="session")
def calendar() -> Calendar:
    return load_calendar(ROOT / "config" / "calendars")
