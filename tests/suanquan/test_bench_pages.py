"""`bench pages` asks for every page there is."""

import re

from suanquan.bench.pages_visits import PEOPLE, VISITS, Names, limit_of
from suanquan.http.app import PAGES

FILES = {"/statements/{centre}/{account}/{month}/{event}.tlog-proof", "/usage/line/{seq}.tlog-proof"}
"""What is no page: the proof of one entry, which `/office/receipts/{event}` is, too."""
OF_ONE = {
    "/office/findings/{finding}", "/applications/{application}/supplement", "/bulk/runs/{run}", "/sheets/drafts/{draft}",
    "/sheets/drafts/{draft}/faults.xlsx", "/sheets/{sheet}/template.{form}",
}  # fmt: skip
"""Pages of one thing that somebody is in the middle of: as large as that thing, whatever else a home has."""


def test_every_page_is_measured():
    """By somebody who may see it, with the address filled in by what a filled home has; each has a limit."""
    shown = {route.path for pages in PAGES for route in pages.routes if "GET" in route.methods} - FILES - OF_ONE
    assert VISITS.keys() == {"", *PEOPLE}
    asked = [path for paths in VISITS.values() for path in paths]
    for path in asked:
        assert set(re.findall(r"\{(\w+)\}", path)) <= set(Names._fields), path
        assert limit_of(path) in {500, 1000}
    patterns = {path: re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)) + "$") for path in shown}
    plain = [re.sub(r"\{(\w+)\}", r"\1", path.partition("?")[0]) for path in asked] + ["/office/usage.csv"]
    assert [path for path, pattern in patterns.items() if not any(map(pattern.match, plain))] == []
