"""What was typed stays when a page is shown anew: its forms say where they are kept, and a form of a page is filled in again.

Nothing is stored. What was typed goes to the server with the wish for the other language, unit or order of the same page, and
comes back in that page's form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from markupsafe import escape

KEEP = "/keep"
SWITCHES = frozenset({"lang", "money"})
"""What an address says of how a page is shown rather than of what it shows."""
_FORM = re.compile(r"<form\b[^>]*>")
_ATTRIBUTE = re.compile(r'\b([a-z-]+)="([^"]*)"')
_TYPED = re.compile(r'<textarea\b|<select\b|<input\b(?![^>]*\btype="(?:hidden|submit)")')

_HEAD = (
    '<noscript><link rel="stylesheet" href="/static/plain.css"></noscript>\n'
    '<script src="/static/keep.js" defer></script>\n</head>'
)


class Switch(NamedTuple):
    """A link of a page's frame that shows the same page otherwise: its words, their language, and what it asks for."""

    text: str
    lang: str
    wanted: Mapping[str, str]


class Shown(NamedTuple):
    """A page with forms: its own address, its switches and the words before them, and the addresses that show a form by themselves."""

    address: str
    switches: Sequence[Switch]
    lead: str
    resumed: frozenset[str]


def address(path: str, **more: str) -> str:
    """An address with its query and more to it; what is empty is left out."""
    base, _, query = path.partition("?")
    said = dict(more)
    pairs = [(key, value) for key, value in parse_qsl(query) if key not in said]
    found = urlencode([*pairs, *((key, value) for key, value in said.items() if value)])
    return f"{base}?{found}" if found else base


def offered(page: str, shown: Shown) -> str:
    """A page whose forms say where they are kept, with buttons for whoever runs no script."""
    parts, done = [], 0
    for found in _FORM.finditer(page):
        end = page.find("</form>", found.end())
        attributes = {name: _plain(value) for name, value in _ATTRIBUTE.findall(found[0])}
        carries = "data-carries" in found[0]
        if end < 0 or not _is_kept(attributes) or not (carries or _TYPED.search(page, found.end(), end)):
            continue
        keep = _keep(attributes["action"], shown)
        parts += [page[done : found.end() - 1], f' data-keep="{escape(keep)}">', page[found.end() : end]]
        if attributes.get("class") != "filter":
            parts.append(_buttons(keep, shown, get=attributes.get("method") != "post"))
        done = end
    return "".join([*parts, page[done:]]).replace("</head>", _HEAD, 1) if parts else page


def _is_kept(attributes: Mapping[str, str]) -> bool:
    asks = attributes.get("method") == "post" or attributes.get("data-ask") == "1"
    return asks and attributes.get("action", "").startswith("/") and not attributes["action"].startswith("/logout")


def _keep(action: str, shown: Shown) -> str:
    path = urlsplit(action).path
    if path in shown.resumed or path.endswith("/supplement"):
        return action
    return address(KEEP, to=shown.address, form=address(action, lang="", money=""))


def _buttons(keep: str, shown: Shown, *, get: bool) -> str:
    buttons = " ".join(
        f'<button class="second" name="resume" formnovalidate value="1"{" formmethod=post" if get else ""} '
        f'formaction="{escape(address(keep, **one.wanted))}" lang="{one.lang}">{escape(one.text)}</button>'
        for one in shown.switches
    )
    return f'<noscript><p class="switches">{escape(shown.lead)} {buttons}</p></noscript>'


def _plain(text: str) -> str:
    return (
        text.replace("&#34;", '"').replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )


class _Control(NamedTuple):
    """A field as it stands in the page: its tag, attributes, the places of its tag, and where a text area's text ends."""

    tag: str
    name: str
    attributes: Mapping[str, str]
    start: int
    end: int


class _Seen:
    """A form of a page."""

    def __init__(self, action: str, fold: int, end: int) -> None:
        self.action, self.fold, self.end = action, fold, end
        self.controls: list[_Control] = []
        self.texts: dict[int, int] = {}

    def fits(self, fields: Sequence[tuple[str, str]]) -> int:
        """How much of what was typed it takes; less than nothing where it says something else of itself."""
        names = {name for name, _ in fields}
        for one in self.controls:
            told = (one.name, one.attributes.get("value", ""))
            if one.attributes.get("type") == "hidden" and one.name in names - {"stamp"} and told not in fields:
                return -1
        return len(names & {one.name for one in self.controls})


class _Reader(HTMLParser):
    """Reads where the forms of a page and their fields stand."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=False)
        self._lines = [0, *(found.end() for found in re.finditer("\n", page))]
        self._folds: list[int] = []
        self._select = ""
        self._area = -1
        self.forms: list[_Seen] = []
        self._form: _Seen | None = None
        self.feed(page)

    def _at(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a form, what it stands folded in, or one of its fields."""
        said = {name: value or "" for name, value in attrs}
        start = self._at()
        end = start + len(self.get_starttag_text() or "")
        if tag == "details":
            self._folds.append(start)
        elif tag == "form":
            self._form = _Seen(said.get("action", ""), self._folds[-1] if self._folds else -1, end)
            self.forms.append(self._form)
        elif self._form is not None and tag in {"input", "textarea", "select", "option"}:
            self._select = said.get("name", "") if tag == "select" else self._select
            name = self._select if tag == "option" else said.get("name", "")
            self._form.controls.append(_Control(tag, name, said, start, end))
            self._area = end if tag == "textarea" else self._area

    def handle_endtag(self, tag: str) -> None:
        """Note where a form or a text area ends."""
        if tag == "details" and self._folds:
            self._folds.pop()
        elif tag == "form":
            self._form = None
        elif tag == "textarea" and self._form is not None:
            self._form.texts[self._area] = self._at()


def actions_in(page: str) -> set[str]:
    """The paths to which a page's forms are sent."""
    return {urlsplit(one.action).path for one in _Reader(page).forms}


def filled(page: str, action: str, fields: Sequence[tuple[str, str]]) -> str:
    """A page with what was typed in the form of that address, unfolded; empty where it has no such form."""
    path = urlsplit(action).path
    fits = [(one.fits(fields), one) for one in _Reader(page).forms if urlsplit(one.action).path == path]
    best, form = max(fits, key=lambda one: one[0], default=(-1, None))
    if form is None or best < 0:
        return ""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    edits = [edit for one in form.controls for edit in _edits(page, one, values, form.texts)]
    missing = values.keys() - {one.name for one in form.controls} - {"act"}
    hidden = [
        f'<input type="hidden" name="{escape(name)}" value="{escape(values[name][-1])}">' for name in sorted(missing)
    ]
    edits.append((form.end, form.end, "".join(hidden)))
    if form.fold >= 0 and not page.startswith("<details open", form.fold):
        edits.append((form.fold, form.fold + len("<details"), "<details open"))
    for start, end, text in sorted(edits, reverse=True):
        page = page[:start] + text + page[end:]
    return page


def _edits(
    page: str, one: _Control, values: Mapping[str, list[str]], texts: Mapping[int, int]
) -> list[tuple[int, int, str]]:
    """What is changed so that a field holds what was typed: the places in the page, and the text for them."""
    kind, tag, said = one.attributes.get("type", "text"), page[one.start : one.end], values.get(one.name)
    if one.tag == "option" or kind in {"checkbox", "radio"}:
        if one.tag == "option" and said is None:
            return []
        chosen = one.attributes.get("value", "on") in (said or [])
        return [(one.start, one.end, _flagged(tag, "selected" if one.tag == "option" else "checked", chosen))]
    if said is None or one.tag == "select" or kind in {"file", "submit", "password"}:
        return []
    if one.tag == "textarea":
        return [(one.end, texts.get(one.end, one.end), f"\n{escape(said[-1])}")]
    plain = re.sub(r'\svalue="[^"]*"', "", tag)
    return [(one.start, one.end, f'{plain[:-1]} value="{escape(said[-1])}">')]


def _flagged(tag: str, flag: str, on: bool) -> str:
    plain = re.sub(rf"\s{flag}(?=[\s>])", "", tag)
    return f"{plain[:-1]} {flag}>" if on else plain
