"""Words that would be commands somewhere: in SQL, templates, typst, spreadsheets, headers and logs they stay words.

The words multiply 1337 by 1337: whoever runs them shows 1787569 (CWE-79, 89, 93, 117, 150, 1236, 1336).
"""

import asyncio
import csv
import io
import json
import logging
import re

import pytest
import structlog

from ledger.cells import plain_cell
from suanquan import server
from suanquan.access.policy import Role
from suanquan.cli.output import emit, note
from suanquan.http.auth import actions_of
from suanquan.use_cases.setup import bind_account
from tests.conftest import ALL
from tests.shared_data import ROOT
from tests.suanquan.letters.pages import text_of
from tests.suanquan.letters.test_letters import squeezed
from tests.suanquan.test_decisions import BODY
from tests.suanquan.test_portal import record, report
from tests.suanquan.test_tenants import HERE, THERE, of, opened

SHARE = 1 if ALL else 4
RUN = "1787569"
EVIL = "=1337*1337'||(1337*1337)--{{1337*1337}}${1337*1337}#(1337*1337)<script>alert(1)</script>"
SQL = "x' OR '1'='1'; DROP TABLE voucher;--"
LINES = 'a\r\nX-Injected: yes\r\n\r\n{"event":"forged"}\x1b[2J\x85\u2028\u202e'
"""A header, a line of a log, a cleared screen, and text that reads backwards."""


@pytest.fixture(scope="module")
def home(template, tmp_path_factory):
    return template.copy_to(tmp_path_factory.mktemp("injection") / "home").home


def run(home, look):
    async def within():
        async with opened(home) as house:
            await look(house)

    asyncio.run(within())


def assert_words(answer, where):
    """Nothing ran: no product, no element of ours in a page, no header, and no crash."""
    assert answer.status_code < 500, (where, answer.text[:300])
    assert RUN not in answer.text, where
    assert "x-injected" not in answer.headers, where
    if "html" in answer.headers.get("content-type", ""):
        assert "<script>alert" not in answer.text, where
    elif "json" in answer.headers.get("content-type", ""):
        assert isinstance(answer.json(), dict | list), where


def test_addresses_are_words(home, seed):
    """Every part of an address, and the queries that lists take, with these words: found or not, nothing runs.

    An ordinary run asks every fourth address, which of them by the seed; `--all` asks every one.
    """

    async def look(house):
        taken = (
            "q",
            "find",
            "sort",
            "columns",
            "after",
            "before",
            "applicant",
            "holder",
            "centre",
            "account",
            "person",
        )
        paths = {route.path for route in house.routes if "GET" in route.methods and any(actions_of(route))}
        assert len(paths) > 80
        for path in sorted(paths - {"/metrics", "/openapi.json"})[seed % SHARE :: SHARE]:
            words = LINES if "{" in path else (EVIL, SQL)[len(path) % 2]
            values = dict.fromkeys(re.findall(r"{([^}]+)}", path), words.replace("/", ""))
            address = of(path, **values)
            headers = {"Authorization": f"Bearer {house.tokens[Role.ADMINISTRATOR]}"}
            answer = await house.client.get(quoted(address), params=dict.fromkeys(taken, SQL), headers=headers)
            assert_words(answer, path)
        listed = (await house.ask(Role.AUDITOR, "GET", "/v1/vouchers")).json()["vouchers"]
        assert {one["holder"] for one in listed} == {HERE, THERE}, "the table is there"
        for path in ("/v1/decisions?applicant=", "/v1/findings?subject=", "/v1/parties?party=", "/v1/audit?person="):
            answer = await house.ask(Role.ADMINISTRATOR, "GET", path + quoted("' OR ''='"))
            assert not any(found for found in answer.json().values() if isinstance(found, list)), path

    run(home, look)


def quoted(text):
    return "".join(one if one.isascii() and (one.isalnum() or one in "/-._") else _percent(one) for one in text)


def _percent(character):
    return "".join(f"%{byte:02X}" for byte in character.encode())


WRITTEN = [
    ("/v1/tips", {"provider": EVIL[:60], "message": EVIL}),
    ("/v1/sanctions", {"party": EVIL[:60], "decision": EVIL, "from": "2026-01-01", "until": None}),
    ("/v1/centres/sj01/facts", {"fact": "operator", "value": HERE, "from": "2026-01-01", "evidence": ""}),
    ("/v1/centres/sj01/suspend", {"from": "2026-12-01", "reason": EVIL, "evidence": ""}),
    ("/v1/programmes/cn-sh-songjiang-sandbox/allotments", {"centre": "sj01", "amount": "5", "reason": EVIL}),
    ("/v1/decisions", BODY | {"applicant": EVIL, "project": EVIL, "reason": EVIL}),
]


def test_what_is_written_is_shown_as_it_is(home):
    """Reasons, names, accounts and jobs come back on pages, in answers, letters and tables as they were written, and nothing runs."""

    async def look(house):
        service = house.service
        await bind_account(service.journal, "sj01", EVIL, HERE)
        evil = record(1, EVIL, 2)
        evil["data"]["job"] = EVIL
        await report(service, evil, record(2, EVIL, 1, model="unheard-of"))
        for path, body in WRITTEN:
            headers = {"Authorization": f"Bearer {house.tokens[Role.ADMINISTRATOR]}", "Idempotency-Key": path}
            answer = await house.client.post(path, json=body, headers=headers)
            assert answer.status_code in {200, 201}, (path, answer.text)
            assert_words(answer, path)
        letter = await house.ask(Role.AUDITOR, "GET", f"/v1/decisions/{answer.json()['id']}/letter")
        assert squeezed(EVIL) in (text := text_of(letter.content))
        assert RUN not in text
        jti = house.owned[HERE]
        headers = {"Authorization": f"Bearer {house.tokens[Role.ADMINISTRATOR]}", "Idempotency-Key": "s"}
        assert (
            await house.client.post(f"/v1/vouchers/{jti}/suspend", json={"reason": EVIL}, headers=headers)
        ).is_success
        shown = 0
        for role, path in READ:
            answer = await house.ask(role, "GET", path)
            assert answer.status_code == 200, (path, answer.text[:300])
            assert_words(answer, path)
            shown += "1337*1337" in answer.text
            if path.endswith("csv"):
                assert_no_formula(answer.text, path)
        assert shown > len(READ) // 2, "what was written is there to be read"

    run(home, look)


USAGE = f"/usage?centre=sj01&account={quoted(EVIL)}"
READ = [
    *((Role.BENEFICIARY_ADMIN, path) for path in (USAGE, f"{USAGE}&format=csv", "/vouchers?format=csv", "/v1/inbox")),
    *((Role.CENTRE_OPERATOR, path) for path in ("/centre/quarantine", "/centre/quarantine?format=csv")),
    *(
        (Role.ADMINISTRATOR, path)
        for path in ("/v1/parties", "/v1/decisions", "/v1/quarantine", "/v1/centres/sj01", "/")
    ),
    *((Role.ADMINISTRATOR, path) for path in ("/office/usage.csv", "/office/vouchers?format=csv", "/office/centres")),
]


def assert_no_formula(text, where):
    """No cell begins as a formula does, in any spreadsheet that is told to take it for one."""
    cells = [cell for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) for cell in row]
    assert len(cells) > 5
    for cell in cells:
        assert cell == plain_cell(cell), (where, cell)


def test_every_table_is_written_through_the_one_rule():
    """A module that writes CSV uses `plain_cell`, which `tests/ledger/test_cells.py` looks at."""
    packages = ("ledger", "metering", "subsidy", "voucher", "suanquan")
    writers = [
        path for name in packages for path in (ROOT / name).rglob("*.py") if re.search(r"csv\.(w|DictW)riter\(", path.read_text("utf-8"))
    ]  # fmt: skip
    assert len(writers) >= 4
    for path in writers:
        assert "plain_cell(" in path.read_text("utf-8"), path


def test_a_log_has_one_line_for_each_entry(capsys):
    """Whatever an entry holds, of ours or of a library, its line is JSON and has no control of a terminal in it."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        server.configure_logging()
        structlog.get_logger("suanquan.http").info("request", path=LINES, more={LINES: [LINES]})
        logging.getLogger("library").warning("of a library: %s", LINES)
        logging.getLogger("library").error("fault", exc_info=ValueError(LINES))
    finally:
        structlog.configure(**before)
        root.handlers = handlers
    lines = capsys.readouterr().err.removesuffix("\n").splitlines()
    assert len(lines) == 3
    for line in lines:
        assert LINES in repr_of(json.loads(line))
        assert line.isprintable()


def repr_of(entry):
    """All texts of an entry in one."""
    return "\n".join(str(value) for value in entry.values())


def test_a_terminal_is_told_words(capsys):
    """Commands write controls out, and a second line of a value does not begin where a name does."""
    emit({"reason": LINES, "rows": [{"about": LINES}], LINES: 1}, as_json=False)
    note(f"error: {LINES}")
    told = capsys.readouterr()
    assert "\\u001b[2J" in told.out
    assert all(line.isprintable() for line in (told.out + told.err).split("\n"))
    assert not any(line.startswith("X-Injected") for line in told.out.split("\n"))
