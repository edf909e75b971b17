"""Honest states: whatever cannot be read is said on every page, with nothing in its place that could be taken for good news."""

import contextlib
import re
import sqlite3
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from suanquan.portal import figures, frame
from suanquan.portal.text import TEXTS
from tests.conftest import ALL
from tests.suanquan.site import VISITS
from tests.suanquan.test_portal import words

READS_MAX = 12
"""More than any page has: principal, views, and what it shows."""
SHARED = 2
"""Of somebody's page the first reads are who asks and which views he saved, the same for all pages: every fifth has them fail."""
UNREAD = {"login", "docs", "policies", "verify", "find", "subsidies"}
"""Pages of what stands in files or on the page itself; without a session they read nothing."""


@contextlib.contextmanager
def failing(service, after):
    """The database answers so many reads, and then no more; yields how often it was asked in vain."""
    read, asked = service.database.read, []

    @contextlib.asynccontextmanager
    async def some():
        asked.append(1)
        if len(asked) > after:
            raise OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked"))
        async with read() as conn:
            yield conn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.database, "read", some)
        patch.setattr(
            frame, "log", SimpleNamespace(exception=lambda *_, **__: None)
        )  # tracebacks take the most of the time
        yield lambda: max(0, len(asked) - after)


@pytest.mark.parametrize("name", VISITS)
def test_a_page_that_cannot_be_read_shows_nothing_else(acted_on, visit, name):
    """Each read of a page fails in turn: it says so, in its language, with no table, no figure, nothing that is empty or well."""
    who, path = VISITS[name]
    address = path.format(**acted_on._asdict())
    turn = list(VISITS).index(name)
    first = 0 if ALL or not who or turn % 5 == 0 else SHARED
    for language in ("zh", "en") if ALL else ("zh", "en")[turn % 2 :: 2]:
        texts, failed = TEXTS[language], 0
        for after in range(first, READS_MAX):
            with failing(acted_on.service, after) as in_vain:
                page = visit(who, f"{address}{'&' if '?' in address else '?'}lang={language}")
            if not in_vain():
                assert page.status_code < 500
                break
            failed += 1
            assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8"), after
            main = page.text[page.text.index('id="main"') :].partition("</main>")[0]
            assert texts["failed_title"] in main
            assert texts["retry"] in main
            assert not re.search('<table|class="empty"|<form|<meter', main), after
            told = re.sub(r"<code>.*?</code>", "", main).replace(figures.instant(acted_on.service.now_us, texts), "")
            assert not re.search(r"\d", words(told)), words(told)
        else:
            pytest.fail(f"{name} reads more than {READS_MAX} times")
        assert failed or first or name in UNREAD, "a page that reads nothing shows nothing that was read"
