"""Who did what, on every page and in its file, is who signed the entry of the log: over generated histories of cases, batches, findings, disputes."""

import asyncio
import contextlib
import csv
import html
import io
import re
import sqlite3
from collections import Counter, defaultdict
from datetime import datetime
from random import Random
from typing import NamedTuple

import cbor2
import httpx2

from ledger import store as ledger_store
from ledger.leaf import decode
from ledger.mac import Keyed
from metering.zones import SHANGHAI
from suanquan.home import Home
from suanquan.http.app import create_app
from suanquan.portal.stamps import CHANGES_MAX
from suanquan.portal.work_text import TEXTS
from suanquan.service import open_service
from suanquan.settings import Settings
from suanquan.use_cases import setup
from subsidy.procedure import Role
from tests.conftest import ALL
from tests.suanquan import histories
from tests.suanquan.harness import PASSPHRASE
from tests.suanquan.histories import ACTORS, READER, World, case_of, inputs_of
from tests.subsidy.procedure_samples import CALLED, Clock

CASES = 36 if ALL else 12
"""Histories of applications in one world: one round has as many."""
WORLDS = 278 if ALL else 1
"""With `--all` 10,008 histories, each through the use cases, and each looked at on its page."""
WORDS = ("opinion", "reason", "basis", "objection", "reference", "address", "until", "score", "paid_on")


class Did(NamedTuple):
    """What an entry of the log says that somebody did; `said` has the words that were given."""

    event: str
    person: str
    role: str
    at_us: int
    kind: str
    said: dict


async def told_by_the_log(service):
    """By subject what was done to it, from the payloads of the log's entries alone; the leaf of each vouches for the name in it."""
    found = defaultdict(list)
    async with service.database.read() as conn:
        key = Keyed((await ledger_store.load_head(conn)).pseudonym_key)
        rows = await ledger_store.load_page(conn, -1, 10**6)
    for row in rows:
        told = cbor2.loads(row.body) if row.body and 0xA0 <= row.body[0] < 0xC0 else {}
        kind = told.get("type")
        if kind in {"procedure-step", "settlement-fact"}:
            assert decode(row.leaf)[0].actor == key.digest(b"person\0" + told["person"].encode())[:8], told
            act, said = (told["step"], told["inputs"]) if kind == "procedure-step" else (told["kind"], told["content"])
            found[told["subject"]].append(
                Did(row.event_id.hex(), told["person"], told["role"], told["at_us"], act, said)
            )
        elif kind == "finding-review":
            found[told["finding"]].append(Did("", told["officer"], "", told["at_us"], told["state"], told))
        elif kind == "dispute":
            found[str(told["dispute"])].append(Did("", told["who"], told["role"], told["at_us"], told["state"], told))
    return found


async def rows_of(world, path, table, language):
    """The rows of a page's table, as its file has them."""
    query = {"format": "csv", "table": table, "lang": language}
    answer = await world.client.get(path, params=query, headers=world.headers(READER))
    assert answer.status_code == 200, (path, answer.text)
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def compare(rows, did, language, note):
    """Each row of a history against the entry of the log that it names: who, as what, when, and every word."""
    t = TEXTS[language]
    assert len(rows) == len(did), note
    for row, one in zip(rows, did, strict=True):
        automatic = one.role == Role.SERVICE.value
        assert row[t["done_by_whom"]] == (t["automatic"] if automatic else one.person), (note, one)
        at = datetime.fromtimestamp(one.at_us // 1_000_000, SHANGHAI).strftime(t["instant"])
        assert row[t["done_at"]] == at, (note, one)
        if one.event:
            assert row[t["acted_as"]] == ("—" if automatic else t[f"acts_{one.role}"]), (note, one)
            assert row[t["entry_no"]] == one.event, (note, one)
        said = " ".join(row.values())
        assert all(str(one.said[name]) in said for name in WORDS if one.said.get(name)), (note, one, row)


async def compare_cases(world, cases, told, note):
    """Every application, in either language."""
    for found in cases:
        language = world.random.choice(["zh", "en"])
        compare(await rows_of(world, f"/applications/{found}", "history", language), told[found], language, note)


async def compare_batches(world, batches, told, note):
    """Batches: what was done, who prepared each in the list, and who demanded money back."""
    t = TEXTS["zh"]
    listed = await rows_of(world, "/settlements", "settlements", "zh")
    assert {row[t["batch"]]: row[t["prepared_by"]] for row in listed} == {
        one: told[one][0].person for one in batches
    }, note
    for found in batches:
        compare(await rows_of(world, f"/settlements/{found}", "history", "zh"), told[found], "zh", note)
        page = html.unescape((await world.client.get(f"/settlements/{found}", headers=world.headers(READER))).text)
        kinds = [one.kind for one in told[found]]
        demanded = re.findall(rf"<dt>{t['demanded']}</dt><dd>[\d.]+ 元，(.*?)：", page)
        last = max((at for at, kind in enumerate(kinds) if kind == "demand"), default=-1)
        is_open = last >= 0 and "recover" not in kinds[last:]
        assert demanded == ([told[found][last].person] if is_open else []), note


async def compare_others(world, findings, disputes, told, note):
    """Reviews of findings, steps of disputes, and payees whose details wait."""
    for found in findings:
        compare(await rows_of(world, f"/office/findings/{found}", "reviews", "zh"), told[found], "zh", note) if told[
            found
        ] else None
    for found in disputes:
        page = html.unescape((await world.client.get(f"/disputes/{found}", headers=world.headers(READER))).text)
        shown = [page.index(f"{one.person} “{one.said['reason']}”") for one in told[str(found)]]
        assert shown == sorted(shown, reverse=True), note
    waits = told["centre:sj01"] and told["centre:sj01"][-1].kind == "payee"
    page = html.unescape((await world.client.get("/payees", headers=world.headers(READER))).text)
    said = [
        TEXTS["zh"]["payee_waiting"].format(person=one.person) for one in told["centre:sj01"] if one.kind == "payee"
    ]
    assert (said[-1] in page) == bool(waits) if said else True, note


async def nobody_approves_his_own(world, cases, told, note):
    """Whoever did a step that the next must be apart from has no form for it, learns why and who has; and is refused if he tries."""
    barred = 0
    for found in cases:
        one, who = (
            await case_of(world, found),
            world.random.choice([one for one in ACTORS if one.role is not Role.REVIEWER]),
        )
        page = (await world.client.get(f"/applications/{found}", headers=world.headers(who.person))).text
        for step in one.round.procedure.next_steps(one.case.state):
            if who.role not in step.roles:
                assert f'/steps/{step.id}"' not in page, (note, who, step.id)
                continue
            before = {did.person: did.kind for did in told[found] if did.kind in step.apart_from}
            offered = f'action="/applications/{found}/steps/{step.id}"' in page
            assert offered or who.person in before or "materials" in step.takes, (note, who, step.id)
            if who.person not in before:
                continue
            barred += 1
            assert not offered, (note, who, step.id)
            part = page[page.index(f'id="step-{step.id}"') :]
            part = html.unescape(part[: part.index("</details>")])
            others = [other.person for other in ACTORS if other.role in step.roles and other.person not in before]
            wanted = [name for name in others if name in part.partition(TEXTS["zh"]["able_others"])[2]]
            assert len(wanted) == min(5, len(others)), (note, part, others)
            await world.tried(world.service.proceedings.take(who, found, step.id, _all_inputs(world, step)))
    return barred


def _all_inputs(world, step):
    return {name: value for name, value in inputs_of(world).items() if name in step.takes}


async def a_late_form_names_who_acted(world, cases, told, note):
    """What was done since a form was opened, by whom."""
    found = max(cases, key=lambda one: len(told[one]))
    headers = world.headers("方")
    sent = {"reason": "不再需要", "stamp": "1"}
    answer = await world.client.post(f"/applications/{found}/steps/withdraw", data=sent, headers=headers)
    assert answer.status_code == 409, note
    named = [html.unescape(one) for one in re.findall(r"<li><strong>(.*?)</strong>", answer.text)]
    assert (
        named
        == [TEXTS["zh"]["automatic"] if one.role == "service" else one.person for one in told[found][1:]][-CHANGES_MAX:]
    ), note


async def no_table_is_believed(world, found, batches, told, note):
    """A name that somebody changes beside the log is not shown: it stands in what the log commits to."""
    with contextlib.closing(sqlite3.connect(world.service.home.database)) as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        for name in ("procedure_step", "settlement_fact"):
            assert connection.execute(f"UPDATE {name} SET person = '冒名者', role = 'finance', at_us = 0").rowcount
        connection.commit()
    compare(await rows_of(world, f"/applications/{found}", "history", "zh"), told[found], "zh", note)
    await compare_batches(world, batches, told, note)


async def look_at(folder, seed, note):
    """One world of histories, all of its pages, and how much of what there was to see."""
    home, clock, random = Home(folder), Clock(CALLED), Random(seed)
    await asyncio.to_thread(setup.initialise, home, Settings(sandbox=True), PASSPHRASE, clock)
    async with open_service(home, PASSPHRASE, clock) as service:
        transport = httpx2.ASGITransport(app=create_app(service))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", timeout=60) as client:
            world = World(service, clock, random, client)
            await histories.people_of(world)
            cases = await histories.cases(world, CASES)
            seen = Counter()
            await histories.usage_of(world)
            findings, disputes = await histories.findings(world), await histories.disputes(world)
            batches = await histories.batches(world)
            told = await told_by_the_log(service)
            before = sum(map(len, told.values()))
            seen["barred"] = await nobody_approves_his_own(world, cases, told, note)
            assert sum(map(len, (await told_by_the_log(service)).values())) == before, (
                note,
                "somebody approved his own",
            )
            await compare_cases(world, cases, told, note)
            await compare_batches(world, batches, told, note)
            await compare_others(world, findings, disputes, told, note)
            await a_late_form_names_who_acted(world, cases, told, note)
            await no_table_is_believed(world, cases[0], batches, told, note)
            seen.update(one.kind for did in told.values() for one in did)
            return seen + Counter({f"refused {code}": count for code, count in world.refused.items()})


def test_whoever_is_shown_to_have_done_something_signed_it(tmp_path, seed):
    """Applications, batches, payees, findings, disputes and late forms: names, capacities, times and words are those of the log's entries.

    Automatic steps say that they are; who must not act has no form, is told why and who else can, and is refused.
    """
    seen = Counter()
    for world in range(WORLDS):
        seen += asyncio.run(look_at(tmp_path / f"home-{world}", seed * 1_000 + world, f"seed {seed}, world {world}"))
    assert seen["submit"] == CASES * WORLDS, seed
    assert seen["issue"] >= WORLDS, seed
