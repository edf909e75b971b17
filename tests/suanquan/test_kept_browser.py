"""What was typed, in a real browser, when the page is asked for in the other language: with scripts and without."""

import pytest

from tests.suanquan.browsing import NEEDS_CHROMIUM, Visits, launched

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


@pytest.mark.parametrize("scripts", [True, False])
def test_the_language_keeps_what_was_typed(acted_on, chromium, scripts):
    """By the link of the frame where scripts run; without them by the form's own button, and the link that would lose it is gone."""
    visits = Visits(chromium, acted_on.url)
    page = visits.open(acted_on.tokens["holder"], java_script_enabled=scripts)
    page.goto(f"{acted_on.url}/members")
    link = page.locator(".switches a[hreflang=en]")
    assert link.is_visible()
    page.fill("#name", "填到一半")
    page.press("#name", "Tab")
    assert link.is_visible() == scripts
    with page.expect_navigation():
        (link if scripts else page.locator("form:has(#name) .switches button").first).click()
    assert (page.input_value("#name"), page.get_attribute("html", "lang")) == ("填到一半", "en")
    visits.close()
