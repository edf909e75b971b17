"""Every page that gives each tenant its own part: one's own, another's and a missing object, as `test_tenants` has it for the API."""

import asyncio
import time

import pytest

from suanquan.access.policy import BENEFICIARY, CENTRE, Reach, Role, reach
from suanquan.http.app import PAGE_PATHS
from suanquan.http.auth import actions_of, is_scoped
from tests.shared_data import ROOT
from tests.suanquan.test_tenants import HERE, MISSING, THERE, of, opened, told

BY_ADDRESS = ("/vouchers/{jti}", "/vouchers/{jti}/code.svg")
ELSEWHERE = {
    "/usage/disputes": "test_a_line_is_disputed_once_and_by_its_owner",
    "/disputes/{dispute}": "test_anothers_dispute_is_as_missing",
    "/applications/new": "test_a_company_applies_on_the_page",
    **dict.fromkeys(("/applications", "/applications/{application}"), "test_who_may_do_and_see_what"),
    "/applications/{application}/steps/{step}": "test_officers_take_steps_on_the_page",
    "/applications/{application}/supplement": "test_a_returned_application_is_supplemented",
    **dict.fromkeys(("/present", "/holds/{hold}", "/holds/{hold}/release"), "test_the_counter_is_a_centres_own"),
    **dict.fromkeys(("/channels", "/channels/{channel}/{act}"), "test_a_channel_is_registered_tried_and_ended"),
    "/members/end": "test_members_are_invited_and_ended",
    "/settlements/{batch}": "test_the_work_of_another_is_as_missing",
    "/vouchers/{jti}/statement": "test_a_vouchers_whole_statement_is_checked_offline",
    **dict.fromkeys(("/usage/line", "/usage/line/{seq}.tlog-proof"), "test_a_line_has_its_receipt"),
    **dict.fromkeys(
        (f"/statements/{{centre}}/{{account}}/{{month}}{more}" for more in ("", "/{event}.tlog-proof")),
        "test_a_statement_and_its_proofs_are_for_the_holder",
    ),
}
"""Pages whose objects take more to make, and the test that has them."""
OUTSIDE = (BENEFICIARY | CENTRE) - {Role.CENTRE_AGENT}
LISTS = dict.fromkeys(
    (
        "/vouchers",
        "/usage",
        "/centre",
        "/centre/quarantine",
        "/holds",
        "/disputes",
        "/members",
        "/energy",
        "/statements",
        "/settlements",
    ),
    OUTSIDE,
)
CSV = "?format=csv&centre=sj02&holder=&scope=all"
MEMBERS = sorted(BENEFICIARY, key=lambda role: role.value)


@pytest.fixture(scope="module")
def home(template, tmp_path_factory):
    return template.copy_to(tmp_path_factory.mktemp("pages") / "home").home


def run(home, look):
    now = time.time_ns()  # it stands still: pages say as of when they are

    async def within():
        async with opened(home, lambda: now) as house:
            await look(house)

    asyncio.run(within())


def test_no_scoped_page_is_forgotten(home):
    """Each stands above, or in the test that is named beside it; a new one fails here."""

    async def look(house):
        scoped = {route.path for route in house.routes if route.path in PAGE_PATHS and is_scoped(route)}
        assert scoped == {*BY_ADDRESS, *ELSEWHERE, *LISTS}

    run(home, look)
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in ELSEWHERE.values():
        assert f"def {name}(" in sources, name


def test_anothers_page_is_as_missing(home):
    """A company sees the page of its voucher; of another's it gets, to the byte, the page of one that was never issued."""

    async def look(house):
        own, other = house.owned[HERE], house.owned[THERE]
        for role in MEMBERS:
            for path in BY_ADDRESS:
                assert (await house.ask(role, "GET", of(path, jti=own))).status_code == 200
                status, foreign = told(await house.ask(role, "GET", of(path, jti=other)), other)
                assert (status, foreign) == told(await house.ask(role, "GET", of(path)), MISSING["jti"])
                assert status == 404
            for more in ("", "&batch=1&record=1", "&format=csv"):
                pages = [
                    told(await house.ask(role, "GET", f"/usage?centre=sj02&account={name}{more}"), name)
                    for name in (house.owned["sj02"], "acct-none")
                ]
                assert pages[0] == pages[1]

    run(home, look)


def test_no_page_names_another(home):
    """No list of a page, in either language or as a file, has anything of the other company or centre, whatever the address says."""

    async def look(house):
        for path, roles in LISTS.items():
            for role in sorted(roles & set(house.tokens), key=lambda role: role.value):
                for query in ("", CSV):
                    answer = await house.ask(role, "GET", path + query)
                    own = any(reach(role, action) is Reach.OWN for action in action_of(house, path))
                    table = query == CSV and path == "/energy"  # a page that is no list
                    assert answer.status_code == (422 if table and own else 200 if own else 403), (path, role, query)
                    for name in (THERE, house.owned[THERE], "acct-sj02"):
                        assert name not in answer.text, (path, role, query)

    run(home, look)


def action_of(house, path):
    return {
        action
        for route in house.routes
        if route.path == path and "GET" in route.methods
        for action in actions_of(route)
    }


def test_pages_of_the_office_are_for_the_office(home):
    """A right to one's own opens no page of everybody's: centres and companies are refused on each, and see nothing there."""

    async def look(house):
        outside = sorted((BENEFICIARY | CENTRE) - {Role.CENTRE_AGENT}, key=lambda role: role.value)
        pages = sorted(path for path in PAGE_PATHS if path.startswith("/office"))
        assert len(pages) > 8
        for path in pages:
            for role in outside:
                answer = await house.ask(role, "GET", of(path))
                assert answer.status_code == 403, (path, role)
                assert THERE not in answer.text

    run(home, look)
