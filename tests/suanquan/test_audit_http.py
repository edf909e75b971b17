"""Who did and saw what, through the real service: a row for each, none without, and the money log untouched by reading."""

import getpass
import json
import sqlite3
import stat
import urllib.parse
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from starlette.responses import Response

from ledger.store import load_head
from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.db import people
from suanquan.home import write_secret
from suanquan.http import app as application
from suanquan.http.auth import SECURE_SESSION, session_cookie
from suanquan.settings import Settings
from suanquan.use_cases import accounts, first_account
from tests.suanquan.command import suanquan
from tests.suanquan.harness import SCHEME, Agent, ThreadedService, assert_problem, install, request
from tests.suanquan.officers import OFFICERS
from voucher.holder import sandbox_uscc

PASSWORD = "correct horse battery"
JSON = {"Content-Type": "application/json"}
HERE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def service(installation):
    """A service whose passwords cost little."""
    with ThreadedService(installation.home) as running:
        running.service.access.passwords.hasher = PasswordHasher.from_parameters(CHEAPEST)
        running.call(first_account.make_ready(running.service.access, PASSWORD))
        yield running


def log_in(service, name, **more):
    body = json.dumps({"name": name, "password": PASSWORD} | more)
    answer = request(service.url, "POST", "/v1/sessions", body, JSON)
    assert answer.status == 201, answer
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]} | HERE


def trail(service, cookie, query=""):
    return request(service.url, "GET", f"/v1/audit?limit=1000{query}", headers=cookie).content


ORDER = json.dumps({"scheme": SCHEME, "holder": sandbox_uscc(3), "amount": "100.00"})


def test_every_act_and_every_look_has_its_row(service):
    """Issuing writes a row with its entries, reading one before the answer; reading leaves the money log as it was."""
    clerk, auditor = log_in(service, "经办"), log_in(service, "审计")
    issued = request(service.url, "POST", "/v1/vouchers", ORDER, clerk | JSON | {"Idempotency-Key": "a"})
    assert issued.status == 201, issued
    head = service.call(_head(service))
    path = f"/v1/vouchers/{issued.content['jti']}"
    for address in (path, "/v1/vouchers?limit=3", "/v1/quarantine", "/v1/centres"):
        assert request(service.url, "GET", address, headers=clerk).status == 200
    assert request(service.url, "GET", "/", headers=clerk).status == 200
    assert service.call(_head(service)) == head, "a look never changes the money log"
    found = trail(service, auditor, "&person=" + "%E7%BB%8F%E5%8A%9E")["rows"]
    acts = [row["action"] for row in found]
    assert acts[:2] == ["account.take_up", "session.begin"]
    assert acts.count("voucher.issue") >= 1
    assert acts[-5:] == ["voucher.read", "voucher.list", "quarantine.list", "centre.list", "voucher.list"]
    read = found[-5]["detail"]
    assert (read["person"], read["role"], read["about"], read["via"]) == (
        "经办",
        "programme_officer",
        f"GET {path}",
        "http",
    )
    assert len(read["request"]) == 16
    assert trail(service, auditor)["rows"][-1]["action"] == "audit.read", "looking at the audit log is a look as well"
    assert_problem(request(service.url, "GET", "/v1/audit", headers=clerk), 403, "not-permitted")


async def _head(service):
    async with service.service.database.read() as conn:
        head = await load_head(conn)
    return head.size, head.root


def test_without_its_row_nothing_happens(service, installation):
    """While the audit log takes no row, a read is not answered and a change is not made; afterwards both are."""
    clerk = log_in(service, "经办")
    file = sqlite3.connect(installation.home.path / "suanquan.db", isolation_level=None)
    file.execute("CREATE TRIGGER broken BEFORE INSERT ON audit_row BEGIN SELECT RAISE(ABORT, 'full'); END")
    head = service.call(_head(service))
    assert_problem(request(service.url, "GET", "/v1/vouchers", headers=clerk), 503, "audit-unavailable")
    order = clerk | JSON | {"Idempotency-Key": "b"}
    assert_problem(request(service.url, "POST", "/v1/vouchers", ORDER, order), 503, "audit-unavailable")
    login = request(service.url, "POST", "/v1/sessions", json.dumps({"name": "审计", "password": PASSWORD}), JSON)
    assert_problem(login, 503, "audit-unavailable")
    assert service.call(_head(service)) == head
    file.execute("DROP TRIGGER broken")
    file.close()
    assert request(service.url, "GET", "/v1/vouchers", headers=clerk).content["vouchers"] == []
    assert request(service.url, "POST", "/v1/vouchers", ORDER, order).status == 201


def test_a_session_dies_at_once_and_a_foreign_page_changes_nothing(service):
    """The cookie is closed to scripts and other sites; a change needs a page of ours; ended, the next request is nobody's."""
    answer = request(service.url, "POST", "/v1/sessions", json.dumps({"name": "经办", "password": PASSWORD}), JSON)
    set_cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(set_cookie.split("; ")), set_cookie
    assert answer.content["role"] == "programme_officer"
    cookie = {"Cookie": set_cookie.partition(";")[0]}
    order = JSON | {"Idempotency-Key": "c"}
    for foreign in (
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ):
        refused = request(service.url, "POST", "/v1/vouchers", ORDER, cookie | order | foreign)
        assert_problem(refused, 403, "cross-site")
    for ours in (HERE, {"Origin": service.url}):
        assert request(service.url, "POST", "/v1/vouchers", ORDER, cookie | order | ours).status == 201
    assert request(service.url, "GET", "/v1/me", headers=cookie).content["name"] == "经办"
    assert request(service.url, "POST", "/v1/sessions/end", "", cookie | HERE).content == {"ended": 1}
    assert_problem(request(service.url, "GET", "/v1/me", headers=cookie), 401, "token-required")


def test_over_tls_the_cookie_is_bound_to_the_host():
    """Over TLS it has the `__Host-` name and is sent over TLS alone."""
    response = Response()
    session_cookie(response, "https://suanquan.example.cn", "sqs_x")
    found = response.headers["set-cookie"]
    assert found.startswith(f"{SECURE_SESSION}=sqs_x;")
    assert "Secure" in found


def test_a_log_in_that_fails_says_nothing_and_waits(service):
    """One body for unknown names and wrong passwords; the sixth try is told to wait, by Retry-After."""
    bodies = set()
    for name in ("经办", "nobody"):
        for _ in range(5):
            answer = request(service.url, "POST", "/v1/sessions", json.dumps({"name": name, "password": "no"}), JSON)
            assert_problem(answer, 401, "login-failed")
            bodies.add(json.dumps(answer.content | {"request_id": ""}))
        locked = request(service.url, "POST", "/v1/sessions", json.dumps({"name": name, "password": PASSWORD}), JSON)
        assert_problem(locked, 429, "login-locked")
        assert locked.headers["retry-after"] == "1"
    assert len(bodies) == 1


def test_tokens_of_people_are_narrow_and_do_not_change_how_they_log_in(service):
    """A token made for reading reads; it neither issues nor sets a password."""
    clerk = log_in(service, "经办")
    order = json.dumps({"actions": ["voucher.list"], "days": 1})
    made = request(service.url, "POST", "/v1/me/tokens", order, clerk | JSON).content
    bearer = {"Authorization": f"Bearer {made['token']}"} | JSON
    assert request(service.url, "GET", "/v1/vouchers", headers=bearer).status == 200
    issue = request(service.url, "POST", "/v1/vouchers", ORDER, bearer | {"Idempotency-Key": "d"})
    assert_problem(issue, 403, "not-permitted")
    (listed,) = request(service.url, "GET", "/v1/me/tokens", headers=clerk).content
    assert made["token"] not in json.dumps(listed)
    assert request(service.url, "POST", f"/v1/me/tokens/{listed['id']}/end", "", clerk).status == 200
    assert_problem(request(service.url, "GET", "/v1/vouchers", headers=bearer), 401, "token-unknown")


def test_accounts_over_http(service):
    """An administrator invites, the invited takes the account up once; a company's admin sees its own accounts alone."""
    admin = log_in(service, "admin") | JSON
    body = json.dumps({"name": "新人", "role": "finance"})
    made = request(service.url, "POST", "/v1/accounts", body, admin)
    assert made.status == 201, made
    taken = json.dumps({"secret": made.content["secret"], "password": PASSWORD})
    assert request(service.url, "POST", "/v1/accounts/take-up", taken, JSON).content == {"name": "新人"}
    assert_problem(request(service.url, "POST", "/v1/accounts/take-up", taken, JSON), 401, "secret-unknown")
    name = f"{sandbox_uscc(1)}/企业"
    company = log_in(service, name)
    assert [one["name"] for one in request(service.url, "GET", "/v1/accounts", headers=company).content] == [name]
    assert len(request(service.url, "GET", "/v1/accounts", headers=admin).content) == 7 + len(OFFICERS)
    foreign = request(service.url, "POST", "/v1/accounts/end", json.dumps({"name": "admin"}), company | JSON)
    missing = request(service.url, "POST", "/v1/accounts/end", json.dumps({"name": "none"}), company | JSON)
    assert_problem(foreign, 404, "account-unknown")
    assert foreign.content["title"].replace("admin", "") == missing.content["title"].replace("none", "")
    finance = log_in(service, "新人")
    ended = request(service.url, "POST", "/v1/accounts/end", json.dumps({"name": "新人"}), admin)
    assert ended.content == {"name": "新人", "sessions": 1}
    assert_problem(request(service.url, "GET", "/v1/me", headers=finance), 401, "token-required")


def test_commands_leave_rows_and_the_log_can_be_checked(installation, tmp_path):
    """What a command changes has a row under the name it was given; verify, list, export and the check of an export agree."""
    home = ("--home", str(installation.home.path), "--json")

    def run(*words):
        return suanquan(*words, *home, cwd=tmp_path)

    assert run("centre", "add", "sj09", "--name", "新中心").status == 0
    made = run("account", "add", "审", "--as", "admin", "--role", "auditor")
    assert made.json["secret"].startswith("sqi_")
    assert run("officer", "add", "林", "--role", "department").status == 0
    listed = run("audit", "list").json
    assert {"cli.centre.add", "account.make", "cli.officer.add"} <= {row["action"] for row in listed}
    assert [row["detail"]["person"] for row in listed if row["action"] == "account.make"] == ["os:init", "admin"]
    found = run("audit", "verify")
    assert (found.status, found.json["ok"], found.json["rows"]) == (0, True, len(listed))
    assert run("audit", "export", "trail.jsonl").json == {"rows": len(listed) + 1, "file": "trail.jsonl"}, "its own row"
    alone = suanquan("audit", "verify", "--from", "trail.jsonl", "--json", cwd=tmp_path)
    assert alone.json == run("audit", "verify").json
    head = f"{len(listed)}:{found.json['root']}"
    assert run("audit", "verify", "--head", head).status == 0
    assert run("audit", "verify", "--head", f"{len(listed) + 9}:{found.json['root']}").status == 8
    for words, code, status in (
        (("--as", "admin", "--before", "2020-01-01T00:00:00Z", "--reason", "x"), "not-permitted", 5),
        (("--as", "审", "--before", "2099-01-01T00:00:00Z", "--reason", "x"), "retention", 5),
    ):
        done = run("audit", "erase", *words)
        assert (done.status, code in done.err) == (status, True), done.err
    assert run("audit", "erase", "--as", "审", "--before", "2020-01-01T00:00:00Z", "--reason", "到期").json == {
        "erased": 0
    }


def test_two_names_typed_by_one_are_not_four_eyes(tmp_path):
    """Outside a sandbox a name is not enough; whoever shows a secret acts under his own, and what was read has its row."""
    installed = install(tmp_path / "home", Settings())
    for name, text in (("admin", installed.token), ("password", PASSWORD)):
        write_secret(tmp_path / name, text.encode())

    def run(*words, by=""):
        shown = {"SUANQUAN_TOKEN_FILE": str(tmp_path / by)} if by else {}
        return suanquan(*words, "--home", tmp_path / "home", "--json", cwd=tmp_path, environment=shown)

    def refuse(*words, by=""):
        done = run(*words, by=by)
        assert done.status == 5, done.err
        return done.err.split()[1].partition("：")[0]

    act = ("voucher", "suspend", "00000000-0000-7000-8000-000000000000", "--reason", "x", "--officer")
    assert refuse(*act, "李四") == "not-shown"
    assert refuse(*act, "李四", by="admin") == "name-differs"
    assert run(*act, "admin", by="admin").status == 3  # he may; there is no such voucher
    assert refuse("officer", "add", "林", "--role", "finance") == "not-shown"
    assert refuse("usage", "void", "x", "--source", "y", "--officer", "admin", "--reason", "x", "--approved-by", "李四",
                  by="admin") == "not-shown"  # fmt: skip
    made = run("account", "add", "林", "--role", "finance", "--as", "admin", by="admin").json
    write_secret(tmp_path / "once", made["secret"].encode())
    files = ("--password-file", "password")
    assert run("account", "take-up", "--secret-file", "once", *files).json == {"name": "林"}
    assert run("account", "login", "林", "-o", "lin", *files).json["role"] == "finance"
    assert stat.S_IMODE((tmp_path / "lin").stat().st_mode) == 0o600
    assert refuse(*act, "林", by="lin") == "not-permitted"
    assert run("payee", "list", by="lin").json == []
    assert run("payee", "list").json == []
    rows = [row for row in run("audit", "list", "--action", "cli").json if row["action"] == "cli.payee.list"]
    assert [row["detail"]["via"] for row in rows] == ["cli", "cli-keeper"]
    assert [row["detail"]["person"] for row in rows] == ["林", f"os:{getpass.getuser()}"]


def test_nothing_of_sessions_is_kept_in_the_clear(service, installation):
    """The database holds digests: neither a session's secret nor a password nor a one-time secret."""
    cookie = log_in(service, "经办")["Cookie"].partition("=")[2]
    secret = service.call(first_account.first_secret(service.service.access))
    made = service.call(
        accounts.invite(
            service.service.access, Principal("admin", Role.ADMINISTRATOR), "乙", people.Grant("finance", "")
        )
    )
    dump = "\n".join(sqlite3.connect(installation.home.path / "suanquan.db").iterdump())
    for word in (cookie, secret, made, PASSWORD):
        assert word not in dump


def form(service, path, **fields):
    body = urllib.parse.urlencode(fields)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return request(service.url, "POST", path, body, kind | HERE)


def test_the_page_takes_an_account(service):
    """A clerk signs in by name and sees vouchers; a company gets to its own; a wrong password gets one sentence; out is out."""
    answer = form(service, "/login", name="经办", password=PASSWORD)
    assert answer.status == 303
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    assert "/logout" in request(service.url, "GET", "/", headers=cookie).content.decode()
    company = f"{sandbox_uscc(1)}/企业"
    pages = {form(service, "/login", name=name, password=word).content for name, word in (("经办", "no"), ("x", "no"))}
    assert all("账号、口令或验证码不对".encode() in page for page in pages)
    own = form(service, "/login", name=company, password=PASSWORD)
    assert (own.status, own.headers["location"]) == (303, "/vouchers")
    assert request(service.url, "POST", "/logout", "", cookie | HERE).status == 303
    assert_problem(request(service.url, "GET", "/v1/me", headers=cookie), 401, "token-required")


def test_secrets_typed_anywhere_are_told_nowhere(service, installation, capfd):
    """A canary in every field of every form of ours: in no answer, page, metric, log line, audit row or export."""
    canary = "canary-7f3a-secret-words"
    admin = log_in(service, "admin") | JSON
    for path, body in (
        ("/v1/sessions", {"name": canary, "password": canary, "code": canary[:16]}),
        ("/v1/sessions", {"name": "admin", "password": canary}),
        ("/v1/sessions", {"name": 1, "password": canary, "more": canary}),
        ("/v1/sessions/passkey", {"rawId": canary, "response": {"clientDataJSON": canary}}),
        ("/v1/accounts/take-up", {"secret": canary, "password": canary}),
        ("/v1/me/password", {"old": canary, "new": canary}),
        ("/v1/me/totp/confirm", {"code": canary[:16]}),
        ("/v1/me/passkeys", {"rawId": canary, "label": "x", "response": {"clientDataJSON": canary}}),
    ):
        answer = request(service.url, "POST", path, json.dumps(body), admin)
        assert 400 <= answer.status < 500, answer
        assert canary[:16] not in repr(answer), path
    for headers in ({"Authorization": f"Bearer {canary}"}, {"Cookie": f"suanquan_session=sqs_{canary}"}):
        assert canary not in repr(request(service.url, "GET", "/v1/vouchers", headers=headers))
    assert canary not in repr(form(service, "/login", name=canary, password=canary))
    assert canary not in repr(form(service, "/login", token=canary))
    for path in ("/", "/metrics", "/v1/audit?limit=1000", "/v1/accounts"):
        assert canary not in repr(request(service.url, "GET", path, headers=admin)), path
    told = "".join(capfd.readouterr())
    assert "/v1/sessions" in told
    dump = "\n".join(sqlite3.connect(installation.home.path / "suanquan.db").iterdump())
    for word in (canary, PASSWORD):
        assert word not in told
        assert word not in dump


def test_an_agents_key_has_its_share_and_no_other_uses_it_up(installation, monkeypatch):
    """Beyond its burst a key is told to wait, and its centre with it; another centre goes on, and forgeries count for nobody."""
    monkeypatch.setattr(application, "KEYS_BURST", 3)
    monkeypatch.setattr(application, "time", SimpleNamespace(monotonic_ns=lambda: 0))  # no time passes for the buckets
    with ThreadedService(installation.home) as running:
        ours, theirs = Agent(running.url, "sj01"), Agent(running.url, "sj02")
        for _ in range(4):  # under our name, by another's key
            assert ours.report(ours.event(1), key=theirs.key.private).status == 401
        for number in range(3):
            assert ours.report(ours.event(number)).status == 200
        late = ours.report(ours.event(3))
        assert_problem(late, 429, "too-many-requests")
        assert late.headers["retry-after"] == "1"
        assert theirs.report(theirs.event(1)).status == 200


def test_a_contact_is_published_once_it_is_set(installation):
    """security.txt has a contact and an end; without a contact it is not there."""
    settings = installation.home.settings_file
    with ThreadedService(installation.home) as running:
        assert_problem(request(running.url, "GET", "/.well-known/security.txt"), 404, "contact-unset")
    text = settings.read_text().replace('security_contact = ""', 'security_contact = "mailto:security@example.cn"')
    settings.write_text(text)
    with ThreadedService(installation.home) as running:
        found = request(running.url, "GET", "/.well-known/security.txt")
        assert found.content.startswith(b"Contact: mailto:security@example.cn\nExpires: 20")
        assert found.headers["content-type"] == "text/plain; charset=utf-8"
