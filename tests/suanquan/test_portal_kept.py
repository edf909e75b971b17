"""What interrupts somebody who fills in a form loses nothing of it: the language, the unit, and six other things that happen."""

import html
import re
from http.cookiejar import DefaultCookiePolicy

import httpx2
import pytest

from suanquan.http.auth import COOKIE
from suanquan.portal import kept_forms
from suanquan.portal.text import TEXTS
from tests.suanquan.site import VISITS, made_site
from tests.suanquan.test_portal import FROM_HERE, words

ZH, EN = TEXTS["zh"], TEXTS["en"]
FORM = re.compile(r"<form\b[^>]*>.*?</form>", re.DOTALL)
KEPT = {
    "apply": "/applications/new", "apply-company": "company", "apply-amount": "amount", "apply-material": "material",
    "supplement": "supplement", "application": "/steps/", "usage": "", "inbox": "/inbox/choice", "channels": "/channels", "quote": "/quote", "members": "/members",
    "settlement": "/evidence", "payees": "/payees", "energy": "/energy", "clock": "/clock", "sheet": "/sheets/",
    "finding": "/findings/", "office-rounds": "/office/rounds", "dispute": "/disputes/", "verify": "/verify",
    "subsidies": "/subsidies", "bulk-applications": "/bulk/",
}  # fmt: skip
"""Pages with a form that somebody fills in, and what the address of one of its forms has in it."""


def controls(form):
    """Name, kind, value and whether it is chosen, of each field of a form."""
    found, select = [], ""
    for tag in re.findall(r"<(?:input|textarea|select|option)\b[^>]*>(?:[^<]*(?=</textarea>))?", form):
        said = {name: html.unescape(text) for name, text in re.findall(r'([a-z-]+)="([^"]*)"', tag)}
        kind = tag[1:].split()[0].rstrip(">")
        select = said.get("name", "") if kind == "select" else select
        name = select if kind == "option" else said.get("name", "")
        text = html.unescape(tag.partition(">")[2]).lstrip("\n") if kind == "textarea" else said.get("value", "")
        chosen = bool(re.search(r"\s(checked|selected)(?=[\s>])", tag))
        found.append((name, said.get("type", kind) if kind == "input" else kind, text, chosen))
    return found


def typed_into(form):
    """What somebody typed and chose in every field of a form: names with texts, several of a name among them."""
    sent, radios, selects = [], set(), {}
    for at, (name, kind, value, _) in enumerate(controls(form)):
        if kind in {"hidden", "password", "file", "select"} or not name:
            continue
        if kind == "radio":
            if name not in radios:
                sent.append((name, value))
            radios.add(name)
        elif kind == "checkbox":
            sent += [(name, value)] * (at % 2)
        elif kind == "option":
            selects[name] = value
        elif kind == "date":
            sent.append((name, f"2026-11-{at % 20 + 1:02d}"))
        else:
            sent.append((name, value if "readonly" in form and name == "record" else f"第{at}项 <\"&'> typed"[:30]))
    return [*sent, *selects.items()]


def holds(form):
    """What a form shows as typed and chosen."""
    return [
        (name, value)
        for name, kind, value, chosen in controls(form)
        if name and (chosen or kind not in {"checkbox", "radio", "option", "select", "file", "password"})
    ]


def form_on(page, within):
    """The first form of a page that says where it is kept, with this in its address."""
    return next((one for one in FORM.findall(page) if "data-keep" in one and within in one.partition(">")[0]), "")


def switches(form):
    """Where the buttons of a form lead, by the words on them."""
    found = re.findall(r'formaction="([^"]*)"[^>]*>([^<]*)</button>', form.partition("<noscript>")[2])
    return {html.unescape(text): html.unescape(address) for address, text in found}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with made_site(tmp_path_factory.mktemp("kept")) as site:
        yield site


@pytest.fixture(scope="module")
def client(site):
    """What asks for pages and keeps no cookies of its own."""
    with httpx2.Client(base_url=site.url, headers=FROM_HERE, timeout=60) as client:
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield client


@pytest.fixture(scope="module")
def visit(site, client):
    """`visit(who, path, data)`: the page that somebody gets, or gets after sending a form."""

    def go(who, path, data=None):
        cookie = {"Cookie": f"{COOKIE}={site.tokens[who]}"} if who else {}
        return client.get(path, headers=cookie) if data is None else client.post(path, data=data, headers=cookie)

    return go


@pytest.mark.parametrize("name", KEPT)
def test_language_and_unit_keep_what_was_typed(site, visit, name):
    """Each way in which the frame shows the page otherwise: every field has what was typed, whatever was typed."""
    who, path = VISITS[name]
    path = path.format(**site._asdict())
    if name == "usage":
        path = VISITS["line"][1].replace("/usage/line", "/usage").format(**site._asdict())
    form = form_on(visit(who, path).text, KEPT[name] or "/usage/disputes")
    assert form, "the page has a form"
    typed, stay = typed_into(form), [one for one in holds(form) if one[0] != "once"]
    hidden = [(one[0], one[2]) for one in controls(form) if one[1] == "hidden" and one[0] != "once"]
    there = switches(form)
    assert {"English"} <= there.keys()
    for words_, address in there.items():
        answer = visit(who, address, _sent(hidden + typed + [("resume", "1")]))
        assert answer.status_code == 200, answer.text
        again = next(one for one in FORM.findall(answer.text) if set(typed) <= set(holds(one)))
        assert 'method="post"' not in again or not who or _sent(holds(again))["once"][0]
        names = {one[0] for one in typed}
        assert {one for one in stay if one[0] not in names} - {("step", "call")} <= set(holds(again))
        if words_ == "English":
            assert 'lang="en"' in answer.text[:60]
            assert ZH["keep_switch"] not in answer.text
        else:
            assert ("money=wan" in address) == (words_ == ZH["switch_wan"])


def _sent(pairs):
    """Pairs as a browser sends them, several of a name among them."""
    found = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


ASKED = {"method": "experts", "opinion": "意见：不能丢 <b>&\"'", "score": "八十"}


def test_eight_interruptions_lose_nothing(site, visit, monkeypatch):
    """A mistake, the language, the unit, the session's end, a wrong token, the database away, a colleague, the step taken already."""
    path, step = f"/applications/{site.application}", "/steps/record_review"

    def fields(answer, status):
        """What the page has in the form that goes on with it."""
        assert answer.status_code == status, words(answer.text)
        found = [dict(holds(one)) for one in FORM.findall(answer.text) if step in one.partition(">")[0]]
        return next(one for one in found if one.get("opinion") == ASKED["opinion"])

    def login(answer, status):
        """The form that takes a token."""
        assert answer.status_code == status
        assert html.escape(ASKED["opinion"][:6]) in answer.text
        return next(one for one in FORM.findall(answer.text) if 'name="token"' in one)

    first = form_on(visit("专家组", path).text, step)
    sent = dict(holds(first)) | ASKED
    mistake = visit("专家组", path + step, sent)
    sent = fields(mistake, 422)
    assert sent["score"] == "八十"
    for words_ in ("English", ZH["switch_wan"]):
        address = switches(form_on(mistake.text, step))[words_]
        sent = fields(visit("专家组", address, sent | {"resume": "1"}), 200)
    over = login(visit(None, path + step, sent), 401)
    over = login(visit(None, switches(over)["English"], dict(holds(over)) | {"resume": "1"}), 200)
    wrong = login(visit(None, "/login", dict(holds(over)) | {"token": "sqt_wrong"}), 401)
    back = visit(None, "/login", dict(holds(wrong)) | {"token": site.tokens["专家组"]})
    sent = fields(back, 200)
    with monkeypatch.context() as patched:
        patched.setattr(site.service.database, "read", _away)
        sent = fields(visit("专家组", path + step, sent), 503)
    done = visit("专家组", path + step, dict(holds(first)) | ASKED | {"opinion": "先办的", "score": "70"})
    assert done.status_code == 303, words(done.text)
    sent = fields(visit("专家组", path + step, sent), 409)
    sent = fields(visit("专家组", path + step, sent | {"score": "80.5"}), 409)
    assert sent["score"] == "80.5"


def _away():
    raise OSError("the database is away")


def test_nothing_is_kept_for_another_site(visit, client):
    """What another site sends is not shown as typed here, and leads to no page elsewhere."""
    address = kept_forms.address(kept_forms.KEEP, to="/verify", form="/verify")
    answer = client.post(address, data={"pasted": "EVIL"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.headers.get("location")) == (303, "/verify")
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil", "/keep?to=/keep"):
        answer = visit(None, kept_forms.address(kept_forms.KEEP, to=elsewhere, form="/verify"), {"pasted": "x"})
        assert answer.status_code in {200, 303}
        assert answer.headers.get("location", "/") == "/"
