"""The table of rights: nothing is allowed that it does not say, every route stands in it, and the document shows it as it is."""

import re
from itertools import product
from pathlib import Path
from typing import Annotated

import pytest
import typer
from fastapi import APIRouter
from starlette.routing import Route

from suanquan.access.commands import COMMANDS, EVERYTHING_SHOWN, NAME_OPTIONAL, NOBODYS
from suanquan.access.policy import (
    APART,
    BENEFICIARY,
    CENTRE,
    POLICY,
    Reach,
    Relation,
    Role,
    allows,
    reach,
    require_apart,
)
from suanquan.access.principal import PUBLIC, Principal
from suanquan.cli.app import app
from suanquan.cli.entering import built, entered, leaves
from suanquan.errors import ServiceError
from suanquan.http.app import create_app
from suanquan.http.auth import actions_of, close_unentered, enter
from suanquan.http.rates import BURST, CALLERS_MAX, PER_SECOND, Rates, TooOftenError
from suanquan.service import open_service
from tests.shared_data import ROOT
from tests.suanquan.harness import assert_problem, request


def test_what_is_not_in_the_table_is_refused():
    """Default deny: an action that nobody entered, for every role and every relation."""
    for role, relation in product(Role, Relation):
        assert not allows(role, "voucher.mint", relation)
        assert reach(role, "") is Reach.NOTHING


def test_a_right_to_ones_own_is_none_to_anothers():
    """Over the whole table: own alone reaches own and lists, never another's; the public has no own."""
    for (action, right), role in product(POLICY.items(), Role):
        expected = {
            Relation.ANY: role in right.anything | right.own,
            Relation.OWN: role in right.anything | right.own,
            Relation.OTHER: role in right.anything,
        }
        assert {relation: allows(role, action, relation) for relation in Relation} == expected
        assert not right.anything & right.own, action
        assert right.own <= CENTRE | BENEFICIARY, action


def test_whose_an_object_is():
    """A beneficiary owns by its code, a centre by its id; nobody owns by an empty tenant or by another kind of tenant."""
    company = Principal("张", Role.BENEFICIARY_MEMBER, "X")
    assert company.relation(holder="X") is Relation.OWN
    assert company.relation(holder="Y") is Relation.OTHER
    assert company.relation(centre="X") is Relation.OTHER
    assert company.relation() is Relation.ANY
    assert Principal("李", Role.CENTRE_OPERATOR, "X").relation(centre="X", holder="Y") is Relation.OWN
    assert Principal("王", Role.BENEFICIARY_ADMIN).relation(holder="") is Relation.ANY
    assert PUBLIC.relation(holder="X") is Relation.OTHER
    assert company.may("voucher.read", holder="X")
    assert not company.may("voucher.read", holder="Y")


def test_a_token_can_do_no_more_than_its_role_and_no_more_than_its_scope():
    """Scopes name actions or their first words; what everybody may do needs none."""
    narrow = Principal("周", Role.PROGRAMME_OFFICER, actions=frozenset({"voucher.read", "quarantine", "audit"}))
    assert narrow.may("voucher.read", holder="X")
    assert narrow.may("quarantine.decide")
    assert narrow.may("scheme.read")
    assert narrow.reach("voucher.issue") is Reach.NOTHING
    assert not narrow.may("audit.read"), "a scope gives no right that the role lacks"


def test_one_person_is_never_both_pairs_of_eyes():
    """Who proposed may not adopt, whatever the spelling; somebody else may, and an act without a pair is free."""
    for action, acts in APART.items():
        for act in acts:
            with pytest.raises(ServiceError, match=r"someone other than lin"):
                require_apart(action, " Ｌin ", {act: "lin"})
            require_apart(action, "Zhou", {act: "lin"})
    require_apart("voucher.issue", "lin", {"rules.propose": "lin"})


def test_earlier_words_for_roles_are_understood():
    """Tokens of earlier versions keep their meaning; a word that is no role is nobody's."""
    assert Role.parse("applicant") is Role.BENEFICIARY_ADMIN
    assert Role.parse("officer") is Role.PROGRAMME_OFFICER
    assert Role.parse("administrator") is Role.ADMINISTRATOR
    assert Role.parse("root") is None


def test_every_command_stands_in_the_table():
    """Commands and their actions are one to one; every action is some route's or some command's."""
    found = {path for path, _ in leaves(typer.main.get_command(app))}
    assert found == set(COMMANDS)
    assert set(COMMANDS.values()) - {NOBODYS} <= POLICY.keys()
    assert found >= NAME_OPTIONAL | EVERYTHING_SHOWN


def test_a_command_says_who_acts_by_what_was_understood():
    """What stands in another option's value names nobody, whatever the words look like; what is told leaves secrets out."""
    seen = []
    tree = typer.Typer()

    @tree.command()
    def one():
        """Another, so that commands have names."""

    @tree.command()
    def act(
        what: str,
        officer: Annotated[str, typer.Option()] = "",
        reason: Annotated[str, typer.Option()] = "",
        passphrase_file: Annotated[Path | None, typer.Option()] = None,
    ):
        seen.append(entered.get())

    root = built(tree)
    words = ["act", "x", "--reason", "--officer=lin", "--officer", "zhou", "--passphrase-file", "p"]
    root.main(words, standalone_mode=False)
    root.main(["act", "x"], standalone_mode=False)
    assert [(one.path, one.name) for one in seen] == [("act", "zhou"), ("act", "")]
    assert (seen[0].lacks_name, seen[1].lacks_name) == (False, True)
    assert seen[0].about(reads=False) == "what=x"
    assert set(seen[0].about(reads=True).split(" ")) == {"what=x", "reason=--officer=lin"}


@pytest.fixture
async def routes(installation):
    """Every route of a running service."""
    async with open_service(installation.home) as service:
        return list(create_app(service)._app._app.state.routes)  # limits and the short way stand around it


async def test_every_route_stands_in_the_table(routes):
    """A route without an entry is refused at run time, and here: put `may(action)` on it."""
    assert len(routes) > 50
    missing = [
        f"{route.path}: put dependencies=[may(…)] on it (by_agents(…) where agents sign)"
        for route in routes
        if isinstance(route, Route) and len(list(actions_of(route))) != 1
    ]
    assert not missing, "\n".join(missing)
    unknown = {action for route in routes for action in actions_of(route)} - POLICY.keys()
    assert not unknown


def test_a_route_that_nobody_entered_is_refused(installation, monkeypatch):
    """Default deny on the wire, for routes of the framework and for plain ones."""
    from suanquan.http import app as application  # noqa: PLC0415 -- its list of routers is changed for this test
    from tests.suanquan.harness import ThreadedService  # noqa: PLC0415

    stray = APIRouter()

    @stray.get("/v1/stray")
    async def get_stray():
        return "seen"

    monkeypatch.setattr(application, "ROUTERS", (*application.ROUTERS, stray))
    with ThreadedService(installation.home) as running:
        bearer = {"Authorization": f"Bearer {installation.token}"}
        assert_problem(request(running.url, "GET", "/v1/stray", headers=bearer), 403, "not-permitted")


async def test_a_plain_route_that_nobody_entered_is_closed():
    """A Starlette route has no dependencies: its application is replaced."""

    async def seen(_request):
        raise AssertionError

    route = Route("/x", seen)
    before = route.app
    close_unentered([route])
    assert route.app is not before


def test_an_entry_names_an_action_that_exists():
    """A misspelt action fails when the module is loaded, not when somebody asks."""
    from suanquan.http.auth import by_agents, may  # noqa: PLC0415

    for make in (may, by_agents):
        with pytest.raises(KeyError):
            make("voucher.raed")
    with pytest.raises(AssertionError):
        by_agents("voucher.read")
    with pytest.raises(KeyError):
        enter(None, "/", "nothing")


def rows(text):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\| `[a-z]+\.[a-z_]+` ", line)
    ]


def test_the_document_has_the_table_as_it_is():
    """docs/access.md lists every action with who may do it to anything and who to its own."""

    def words(roles):
        everybody = {role.value for role in Role}
        named = {role.value for role in roles}
        return "所有人 everybody" if named == everybody else "、".join(f"`{name}`" for name in sorted(named))

    expected = [[f"`{name}`", words(right.anything), words(right.own)] for name, right in POLICY.items()]
    assert rows((ROOT / "docs/access.md").read_text("utf-8")) == expected


def test_one_caller_cannot_crowd_the_others_out():
    """A bucket empties by requests and fills by time, of a person and of its whole tenant; others have theirs."""
    now = [0]
    rates = Rates(lambda: now[0])
    for at in range(BURST):
        rates.take(f"person {at % 2}", "tenant x")
    with pytest.raises(TooOftenError):
        rates.take("person 3", "tenant x")
    rates.take("person 4", "tenant y")
    now[0] += 1_000_000_000 // PER_SECOND
    rates.take("person 0", "tenant x")
    with pytest.raises(TooOftenError):
        rates.take("person 0", "tenant x")
    now[0] += 3_600 * 1_000_000_000
    for _ in range(BURST):
        rates.take("person 5", "tenant x")
    with pytest.raises(TooOftenError):
        rates.take("person 5")
    for at in range(CALLERS_MAX + 5):
        rates.take(f"caller {at}")
    assert len(rates._left) == CALLERS_MAX
