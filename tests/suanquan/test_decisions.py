"""Decisions at a shell and over HTTP: decide, send the letter, verify it, replay it years later, correct it."""

import hashlib
import json
import urllib.parse

import pytest

from suanquan.decision_keys import load_decision_keys
from suanquan.settings import load_settings
from suanquan.use_cases.check_decision import LETTER_TEXT_MAX
from tests.shared_data import ROOT
from tests.suanquan.command import suanquan
from tests.suanquan.harness import ThreadedService, assert_problem, request
from tests.suanquan.letters.pages import codes_on, text_of
from tests.suanquan.shell import Shell
from tests.subsidy.decisions import NAME, RACKS, USCC
from tests.tampering import altered

WHO = ("--applicant", NAME, "--uscc", USCC, "--project", "智算中心提档升级项目", "--officer", "李四")
CASES = {
    "cases": [
        {"id": "good", "clause": "323:(二)1", "date": "2025-09-01", "facts": RACKS},
        {"id": "bad", "clause": "323:(二)1", "date": "2025-09-01", "facts": RACKS | {"pue_after_upgrade": "1.25"}},
    ]
}
TRUST = ("--jwks", "jwks.json", "--issuer", "urn:suanquan:sandbox")


@pytest.fixture
def shell(installation, tmp_path):
    (tmp_path / "cases.json").write_text(json.dumps(CASES), encoding="utf-8")
    return Shell(installation, tmp_path)


def decide(shell, *words):
    return shell.ask("subsidy", "decide", "cases.json", *WHO, *words, secret=True)


def granted(shell):
    return decide(shell, "--case", "good", "--grant", "--reason", "符合全部条件")


def elsewhere(tmp_path, *words):
    """A command on a machine that has the file and the public keys, and no home."""
    return suanquan(*words, "--home", "nowhere", "--json", cwd=tmp_path)


def test_a_decision_goes_from_the_office_to_whoever_doubts_it(shell, tmp_path):
    """Decide, write letter and file; scan the code; verify offline and with the books; replay without a home; verify the ledger."""
    made = granted(shell)
    written = shell.ask("subsidy", "letter", made["id"], "-o", "letter.pdf")
    assert [finding["code"] for finding in written["findings"]] == ["authority-unset"] * 2
    shell.make("subsidy", "decision", made["id"], "-o", "decision.json", secret=False)
    pdf = (tmp_path / "letter.pdf").read_bytes()
    [scanned] = codes_on(pdf)
    assert scanned == made["token"]
    assert "沙箱演示" in text_of(pdf)
    (tmp_path / "jwks.json").write_text(shell.run("keys", "jwks").out)

    here = shell.ask("subsidy", "verify-letter", scanned)
    assert (here["valid"], here["sha256"], here["in_force"]) == (True, made["sha256"], True)
    away = elsewhere(tmp_path, "subsidy", "verify-letter", scanned, *TRUST, "--file", "decision.json")
    assert (away.status, away.json["sha256"]) == (0, made["sha256"])
    replayed = elsewhere(tmp_path, "subsidy", "replay", "decision.json", *TRUST)
    assert (replayed.status, replayed.json["same"], replayed.json["signature"]) == (0, True, "valid")
    assert replayed.json["sha256"] == made["sha256"]
    unchecked = elsewhere(tmp_path, "subsidy", "replay", "decision.json")
    assert (unchecked.status, unchecked.json["signature"]) == (0, "not checked: no keys")
    assert shell.ask("ledger", "verify")["ok"]


def test_a_letter_is_the_same_file_each_time(shell, tmp_path):
    """Also after the office changed its words: what was decided is fixed."""
    made = granted(shell)
    for name in ("one.pdf", "two.pdf"):
        shell.make("subsidy", "letter", made["id"], "-o", name, secret=False)
        words = shell.home.config / "letters/letters.toml"
        words.write_text(words.read_text("utf-8").replace('court = ""', 'court = "某某法院"'), encoding="utf-8")
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()
    again = decide(shell, "--case", "good", "--grant", "--reason", "补正", "--corrects", made["id"])
    written = shell.ask("subsidy", "letter", again["id"], "-o", "three.pdf")
    assert len(written["findings"]) == 1
    assert "某某法院" in text_of((tmp_path / "three.pdf").read_bytes())


def test_what_was_changed_is_found_and_named(shell, tmp_path):
    """Another fact, another verdict, another document, another signature: exit 8, and the place."""
    made = granted(shell)
    shell.make("subsidy", "decision", made["id"], "-o", "decision.json", secret=False)
    (tmp_path / "jwks.json").write_text(shell.run("keys", "jwks").out)
    sound = json.loads((tmp_path / "decision.json").read_text("utf-8"))

    def replayed(change):
        content = json.loads(json.dumps(sound))
        change(content)
        (tmp_path / "changed.json").write_text(json.dumps(content), encoding="utf-8")
        return elsewhere(tmp_path, "subsidy", "replay", "changed.json", *TRUST)

    def pointers(done):
        assert (done.status, done.json["same"]) == (8, False), done.err
        return [difference["pointer"] for difference in done.json["differences"]]

    assert "/result/amount_fen" in pointers(replayed(lambda c: c["facts"].update(pue_after_upgrade="1.25")))
    assert pointers(replayed(lambda c: c["record"].update(award_fen=1))) == [""], "signed over another record"
    assert "/evaluator_version" in pointers(replayed(lambda c: c["record"].update(evaluator_version=0)))
    edited = replayed(lambda c: c["documents"].update({"323-2024.yaml": "x"}))
    assert edited.status == 0, "the file's own copy is not that document; the one that ships is"
    unknown = replayed(lambda c: c["record"]["documents"][1].update(sha256="00" * 32))
    assert (unknown.status, "document-not-found" in unknown.err) == (3, True)
    forged = replayed(lambda c: c.update(token=altered(c["token"])))
    assert (forged.status, "token-signature" in forged.err) == (8, True)
    for content in (b"{}", b"\xff", b'{"record":{},"facts":{},"token":""}', b"[1.5]"):
        (tmp_path / "changed.json").write_bytes(content)
        done = elsewhere(tmp_path, "subsidy", "replay", "changed.json")
        assert (done.status, "decision-malformed" in done.err) == (2, True)


def test_documents_are_looked_up_by_their_hash(shell, tmp_path):
    """After the rules in use were changed a decision still replays: from its own file, or from a folder of old documents."""
    made = granted(shell)
    shell.make("subsidy", "decision", made["id"], "-o", "decision.json", secret=False)
    for path in (shell.home.config / "policies").glob("*.yaml"):
        path.write_text(path.read_text("utf-8") + "# changed\n", encoding="utf-8")
    assert shell.ask("subsidy", "replay", "decision.json")["same"]
    content = json.loads((tmp_path / "decision.json").read_text("utf-8"))
    del content["documents"]
    (tmp_path / "bare.json").write_text(json.dumps(content), encoding="utf-8")
    assert shell.run("subsidy", "replay", "bare.json").status == 3
    old = ("--policies", ROOT / "config/policies")
    assert shell.ask("subsidy", "replay", "bare.json", *old)["same"]
    assert shell.run("subsidy", "replay", "bare.json", "--policies", "nowhere").status == 2


def test_a_corrected_letter_says_so(shell):
    """The old letter is genuine and no longer stands; it cannot be corrected twice."""
    first = granted(shell)
    second = decide(shell, "--case", "bad", "--refuse", "--reason", "复核不符", "--corrects", first["id"])
    old = shell.ask("subsidy", "verify-letter", first["token"])
    assert (old["valid"], old["in_force"], old["corrected_by"]) == (True, False, second["id"])
    again = shell.run(
        *("subsidy", "decide", "cases.json", *WHO, "--case", "bad", "--refuse", "--reason", "x"),
        *("--corrects", first["id"]),
        secret=True,
    )
    assert (again.status, "decision-corrected" in again.err) == (4, True)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--case", "bad", "--grant", "--reason", "x"), 2, "/verdict: "),
        (("--case", "good", "--grant", "--reason", "x", "--award-yuan", "1.999"), 2, "--award-yuan"),
        (("--case", "good", "--grant", "--reason", "x", "--award-yuan", "1"), 2, "award-out-of-bounds"),
        (("--case", "good", "--grant", "--reason", "x", "--answer", "yes"), 2, "--answer"),
        (("--grant", "--reason", "x"), 2, "case-ambiguous"),
        (("--case", "none", "--grant", "--reason", "x"), 3, "case-unknown"),
        (("--case", "bad", "--refuse", "--reason", "x", "--corrects", "SQD-1"), 3, "decision-unknown"),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_its_reason(shell, words, status, said):
    """What is wrong is named, and nothing is decided."""
    done = shell.run("subsidy", "decide", "cases.json", *WHO, *words, secret=True)
    assert done.status == status, done.err
    assert said in done.err or said == "award-out-of-bounds"
    assert shell.size() == 1 + 4


def test_decision_keys_are_of_their_own(shell, tmp_path):
    """Their use keeps them out of the keys of vouchers, and a voucher's token is no letter; a rotated key goes on verifying."""
    made = granted(shell)
    jwks = json.loads(shell.run("keys", "jwks").out)
    uses = {key["use"]: key["kid"] for key in jwks["keys"]}
    assert uses.keys() == {"sig", "decision"}
    (tmp_path / "jwks.json").write_text(json.dumps(jwks))
    voucher = shell.issue()
    crossed = [elsewhere(tmp_path, "subsidy", "verify-letter", voucher["token"], *TRUST)]
    crossed.append(elsewhere(tmp_path, "voucher", "verify", made["token"], *TRUST))
    assert [done.status for done in crossed] == [8, 8]
    shell.make("keys", "decisions", "--rotate")
    again = granted(shell)
    kids = {key.kid for key in load_decision_keys(shell.home).keys}
    assert len(kids) == 2
    for token in (made["token"], again["token"]):
        assert shell.ask("subsidy", "verify-letter", token)["valid"]
    assert elsewhere(tmp_path, "subsidy", "verify-letter", again["token"], *TRUST).status == 8, "an older set of keys"
    private = next((shell.home.keys / "decisions").glob("*.pem"))
    assert b"ENCRYPTED" in private.read_bytes()
    assert private.stat().st_mode & 0o077 == 0


def test_a_revoked_key_signs_no_letter_that_is_believed(shell):
    """What it signed before the revocation holds; it is published no longer, and nothing is decided until there is another."""
    made = granted(shell)
    [kid] = [key.kid for key in load_decision_keys(shell.home).keys]
    assert shell.run("keys", "decisions", "--revoke", kid).status == 2, "a revocation has a reason"
    [revoked] = shell.ask("keys", "decisions", "--revoke", kid, "--reason", "泄露")
    assert revoked["state"] == "revoked"
    assert [key["use"] for key in json.loads(shell.run("keys", "jwks").out)["keys"]] == ["sig"]
    registry = shell.home.keys / "decisions/registry.json"
    now = json.loads(registry.read_text())
    for moment, status in ((revoked["revoked_at"] + 1, 0), (0, 8)):
        now["keys"][0]["revoked_at_s"] = moment
        registry.write_text(json.dumps(now))
        assert shell.run("subsidy", "verify-letter", made["token"]).status == status
    words = ("subsidy", "decide", "cases.json", *WHO, "--case", "good", "--grant", "--reason", "x")
    assert shell.run(*words, secret=True).status == 7
    assert shell.issue()["jti"], "vouchers go on"
    shell.make("keys", "decisions", "--rotate")
    assert shell.run(*words, secret=True).status == 0
    assert shell.run("keys", "decisions", "--revoke", "nobody", "--reason", "x").status == 3


def test_a_home_without_decision_keys_says_what_to_do(shell):
    """One that was made before: nothing else is disturbed, and one command makes them."""
    folder = shell.home.keys / "decisions"
    for path in folder.iterdir():
        path.unlink()
    words = ("subsidy", "decide", "cases.json", *WHO, "--case", "good", "--grant", "--reason", "x")
    done = shell.run(*words, secret=True)
    assert (done.status, "suanquan keys decisions" in done.err) == (7, True)
    assert shell.run("subsidy", "verify-letter", "x").status == 7
    assert shell.issue()["jti"]
    assert len(shell.ask("keys", "decisions", secret=True)) == 1
    assert shell.ask("keys", "decisions", secret=True) == shell.ask("keys", "decisions", secret=True)
    assert shell.run(*words, secret=True).status == 0


def test_nobody_to_trust_is_said(tmp_path):
    """Without keys there is no verifying."""
    done = elsewhere(tmp_path, "subsidy", "verify-letter", "x")
    assert (done.status, "keys-missing" in done.err) == (3, True)


BODY = {
    "applicant": NAME, "uscc": USCC, "project": "智算中心提档升级项目", "clause": "323:(二)1", "on": "2025-09-01", "facts": RACKS,
    "verdict": "grant", "reason": "符合全部条件",
}  # fmt: skip


@pytest.fixture
def served(installation):
    with ThreadedService(installation.home) as service:
        yield Client(service.url, installation.token)


class Client:
    """An officer's browser, and anybody's."""

    def __init__(self, url, token):
        self.url, self._token = url, token

    def get(self, path, *, officer=True):
        headers = {"Authorization": f"Bearer {self._token}"} if officer else {}
        return request(self.url, "GET", path, None, headers)

    def post(self, body, key="k1", **headers):
        sent = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"} | headers
        sent |= {"Idempotency-Key": key} if key else {}
        return request(self.url, "POST", "/v1/decisions", json.dumps(body).encode(), sent)


def test_the_same_goes_over_http(served, tmp_path):
    """Decide, repeat, list, fetch file and letter; the file replays, the letter's code leads to the answer."""
    made = served.post(BODY)
    assert made.status == 201, made.content
    assert served.post(BODY).content == made.content
    decision_id = made.content["id"]
    listed = served.get(f"/v1/decisions?applicant={USCC}&limit=1").content
    assert listed["decisions"][0]["award_yuan"] == "2000000.00"
    assert listed["next"] == decision_id
    file = served.get(f"/v1/decisions/{decision_id}/file").content
    assert file["record"]["officer"] == "admin", "who decides is whose token it is"
    (tmp_path / "d.json").write_text(json.dumps(file), encoding="utf-8")
    assert elsewhere(tmp_path, "subsidy", "replay", "d.json").json["same"]
    letter = served.get(f"/v1/decisions/{decision_id}/letter")
    assert letter.headers["content-type"] == "application/pdf"
    [scanned] = codes_on(letter.content)
    query = urllib.parse.urlencode({"token": scanned})
    answer = served.get(f"/v1/decisions/{decision_id}?{query}", officer=False).content
    assert answer == made.content | {"letter": "genuine"}
    assert NAME not in json.dumps(answer, ensure_ascii=False), "the public learns no name"


def test_http_refuses_with_reasons(served):
    """Findings by JSON pointer, a key that was used, a letter of another decision, strangers."""
    made = served.post(BODY).content
    wrong = BODY | {"facts": RACKS | {"pue_after_upgrade": "1.25"}}
    refused = served.post(wrong, "k2")
    assert_problem(refused, 422, "ruling-refused")
    assert refused.content["errors"][0]["pointer"] == "/verdict"
    assert_problem(served.post(BODY | {"facts": {"pue_after_upgrade": "1,2"}}, "k3"), 422, "facts-invalid")
    assert_problem(served.post(wrong, "k1"), 422, "idempotency-key-reused")
    assert_problem(served.post(BODY, None), 400, "idempotency-key-missing")
    assert_problem(served.post(BODY | {"award_yuan": "1.234"}, "k4"), 422, "request-invalid")
    assert_problem(served.post(BODY | {"facts": {"pue": 1.2}}, "k5"), 422, "request-invalid")
    assert_problem(served.post(BODY | {"officer": "李四"}, "k6"), 422, "request-invalid")
    assert_problem(served.post(BODY, Authorization="Bearer x"), 401, "token-unknown")
    other = served.post(BODY | {"project": "另一项目"}, "k7").content
    path = f"/v1/decisions/{made['id']}?token="
    assert_problem(served.get(path + other["token"], officer=False), 422, "decision-mismatch")
    assert_problem(served.get(path + altered(made["token"]), officer=False), 422, "token-signature")
    assert_problem(served.get(path + "x" * (LETTER_TEXT_MAX + 1), officer=False), 422, "request-invalid")
    assert_problem(served.get("/v1/decisions/SQD-20200101-000000000000", officer=False), 404, "decision-unknown")
    assert_problem(served.get("/v1/decisions/x", officer=False), 422, "request-invalid")
    for path in ("", f"/{made['id']}/file", f"/{made['id']}/letter"):
        assert_problem(served.get(f"/v1/decisions{path}", officer=False), 401, "token-required")


def test_a_letter_holds_the_public_address_where_there_is_one(shell, tmp_path):
    """Whoever scans it with a telephone is led to the office's own answer."""
    made = granted(shell)
    settings = shell.home.settings_file
    settings.write_text(settings.read_text().replace('public_url = ""', 'public_url = "https://suanquan.example.cn"'))
    assert load_settings(settings).public_url
    shell.make("subsidy", "letter", made["id"], "-o", "letter.pdf", secret=False)
    [scanned] = codes_on((tmp_path / "letter.pdf").read_bytes())
    assert scanned == f"https://suanquan.example.cn/v1/decisions/{made['id']}?token={made['token']}"
    assert shell.ask("subsidy", "verify-letter", scanned)["sha256"] == made["sha256"]


def test_a_name_that_no_font_has_is_refused_until_the_office_adds_one(shell):
    """The decision stands; its letter waits for a font in the home, and the command says so."""
    words = ("--applicant", "上海𠮷公司", *WHO[2:], "--case", "good", "--grant", "--reason", "符合")
    made = shell.ask("subsidy", "decide", "cases.json", *words, secret=True)
    done = shell.run("subsidy", "letter", made["id"], "-o", "letter.pdf")
    assert done.status == 7
    assert "U+20BB7" in done.err
    assert "fonts" in done.err


def test_the_digest_is_that_of_the_bytes_in_the_file(shell, tmp_path):
    """Anybody can recompute it: sorted members, no white space, UTF-8, SHA-256."""
    made = granted(shell)
    shell.make("subsidy", "decision", made["id"], "-o", "decision.json", secret=False)
    record = json.loads((tmp_path / "decision.json").read_text("utf-8"))["record"]
    data = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(data).hexdigest() == made["sha256"]
