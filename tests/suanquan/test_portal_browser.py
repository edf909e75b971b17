"""The portal in a real browser: every page in both languages, on a wide and a narrow screen, light and dark.

Nothing leaves the site, no policy is broken, no page scrolls sideways, axe-core finds nothing. `SUANQUAN_TEST_PICTURES`
names a folder to keep a picture of each page in.
"""

import re

import pytest

from suanquan.http.app import PAGES
from suanquan.http.auth import COOKIE
from suanquan.portal.apply_text import TEXTS as APPLY
from suanquan.portal.bulk_text import TEXTS as BULK
from suanquan.portal.text import TEXTS
from tests.conftest import ALL
from tests.suanquan.browsing import NEEDS_CHROMIUM, PICTURES, Visits, keep_picture, launched
from tests.suanquan.site import VISITS, made_site
from tests.suanquan.test_portal_pages import form
from tests.voucher.application_samples import contract

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

NARROW = {"width": 320, "height": 640}

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with made_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


@pytest.fixture
def opened(chromium, site):
    """`opened(who, **options)` is a page of somebody's browser, which goes to the site alone and breaks no policy."""
    visits = Visits(chromium, site.url)
    yield lambda who=None, **options: visits.open(site.tokens[who] if who else None, **options)
    visits.close()


@pytest.fixture(scope="module")
def known(chromium, site):
    """`known(who, scheme)` is the page of somebody's browser that was opened before: what all pages have is fetched once."""
    visits = Visits(chromium, site.url)
    yield lambda who, scheme: visits.known(site.tokens[who] if who else None, scheme)
    visits.close()


def address(site, path, language):
    """Where a page is, in a language."""
    found = site.url + path.format(**site._asdict())
    return f"{found}{'&' if '?' in found else '?'}lang=en" if language == "en" else found


def _told(violations):
    """What axe found: rule and where."""
    return [(one["id"], node["target"], node["html"][:200]) for one in violations for node in one["nodes"]]


def test_every_page_is_visited():
    """A page that somebody adds is visited, too: the list above has each route that shows one."""
    shown = {route.path for pages in PAGES for route in pages.routes if "GET" in route.methods}
    visited = {path.partition("?")[0] for _, path in VISITS.values()}
    named = {path.replace("{returned}", "{application}") for path in visited}
    addressed = {re.sub(r"/sj01/covered/2026-11$", "/{centre}/{account}/{month}", path) for path in named}
    assert {path for path in shown if "." not in path} - {"/office/receipts/{event_id}"} == addressed, (
        "a receipt is a file"
    )


@pytest.mark.parametrize("name", VISITS)
def test_a_page_in_a_browser(site, known, name):
    """Axe finds nothing, in Chinese on light or in English on dark ground, with `--all` in both on both; 320 px need no sideways scroll."""
    who, path = VISITS[name]
    views = (("zh", "light"), ("en", "dark"), ("zh", "dark"), ("en", "light"))
    turn = list(VISITS).index(name) % 2
    for language, scheme in views if ALL else views[:2] if PICTURES else views[turn : turn + 1]:
        page = known(who, scheme)
        answer = page.goto(address(site, path, language))
        assert answer.status == 200, page.content()
        assert TEXTS[language]["sandbox"] in page.content()
        keep_picture(page, f"{name}-{language}")
        found = axe.Axe().run(page, context={"include": [["html"]], "exclude": [["rapi-doc"]]})  # not ours
        assert not _told(found.response["violations"])
        page.set_viewport_size(NARROW)
        wide = page.evaluate("document.documentElement.scrollWidth")
        keep_picture(page, f"{name}-{language}-narrow")
        assert wide <= NARROW["width"], name


def test_a_chart_says_what_its_table_says(site, opened):
    """Drawn over its table, read by keys, drawn anew for the other theme; without scripts the table stands alone."""
    page = opened("holder", color_scheme="light")
    page.goto(address(site, VISITS["voucher"][1], "zh"))
    page.wait_for_selector(".chart canvas")
    [table] = page.query_selector_all("table[data-chart]")
    days = [
        [cell.inner_text() for cell in row.query_selector_all("th, td")] for row in table.query_selector_all("tbody tr")
    ]
    page.focus(".chart")
    for day, _, left in days[:3]:
        page.keyboard.press("ArrowRight")
        said = page.inner_text(".chart .read")
        assert said.startswith(f"{day}: {TEXTS['zh']['left_that_day']} ")
        assert float(said.rpartition(" ")[2].replace(",", "")) == pytest.approx(float(left.replace(",", "")))
    before = page.locator(".chart .plot").screenshot()
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(27, 31, 36)'")
    assert page.locator(".chart canvas").count() > 0
    assert page.locator(".chart .plot").screenshot() != before
    plain = opened("holder", java_script_enabled=False)
    plain.goto(address(site, VISITS["voucher"][1], "zh"))
    assert plain.locator("table[data-chart] tbody tr").count() == len(days) > 0
    assert plain.locator(".chart").count() == 0


WALK = """() => {
  const seen = window.__seen = [];
  const shown = (one) => one.checkVisibility({ visibilityProperty: true });
  const wanted = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';
  window.__all = () => [...document.querySelectorAll(wanted)].filter((one) => shown(one) && !one.disabled && one.tabIndex >= 0);
  document.addEventListener('focusin', (event) => {
    const one = event.target, box = one.getBoundingClientRect(), style = getComputedStyle(one);
    seen.push({ one, marked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, wide: box.width > 0 && box.height > 0 });
  });
}"""
MISSED = """() => {
  const groups = new Set(), told = [];
  const reached = new Set(window.__seen.map((seen) => seen.one));
  for (const one of window.__all()) {
    if (one.type === 'radio') { // of a group one is in the order of keys, arrows lead to the others
      if (groups.has(one.name)) continue;
      groups.add(one.name);
      if ([...document.getElementsByName(one.name)].some((other) => reached.has(other))) continue;
    }
    if (!reached.has(one)) told.push(one.outerHTML.slice(0, 120));
  }
  const faint = window.__seen.filter((seen) => !seen.marked || !seen.wide).map((seen) => seen.one.outerHTML.slice(0, 120));
  return { told, faint, first: window.__seen[0] ? window.__seen[0].one.className : '' };
}"""


@pytest.mark.parametrize("name", VISITS)
def test_keys_reach_everything_of_a_page(site, opened, name):
    """By Tab alone: the way past the navigation first, then whatever can be acted on, each with a mark that is seen; no key is caught."""
    who, path = VISITS[name]
    page = opened(who)
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(address(site, path, "zh"))
    if name == "docs":  # the vendored page of the API has keys of its own
        page.goto(address(site, "/verify", "zh"))
    page.evaluate(WALK)
    many = page.evaluate("window.__all().length")
    assert many > 5
    days = page.evaluate("document.querySelectorAll('input[type=date]').length")
    days += 2 * page.evaluate("document.querySelectorAll('input[type=datetime-local]').length")
    for _ in range(many + 3 * days + 3):  # a day is three fields and a calendar to whoever goes by keys
        page.keyboard.press("Tab")
    found = page.evaluate(MISSED)
    assert found == {"told": [], "faint": [], "first": "skip"}
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


CHARTS = {
    "office-uptake": 6, "office-budgets": 2, "office-centres": 1, "office-centres-of-one": 2, "office-supply": 3, "voucher": 1,
}  # fmt: skip
"""How many charts a page has."""


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_drawn_of_its_table(site, opened, name):
    """Each table that asks for it has its chart, whose figures by keys are those of the table; heat tables say each figure in words."""
    who, path = VISITS[name.removesuffix("-of-one")]
    page = opened(who, color_scheme="dark" if name in {"office-budgets", "voucher"} else "light")
    page.goto(address(site, path, "zh") + ("?centre=sj01" if name.endswith("-of-one") else ""))
    page.wait_for_selector(".chart canvas")
    keep_picture(page, f"charts-{name}")
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.evaluate("for (const one of document.querySelectorAll('.multiples, [data-chart=multiples]')) one.remove()")
    assert page.locator("table[data-chart]").count() == page.locator(".chart").count() == CHARTS[name]
    for at in range(CHARTS[name]):
        chart, table = page.locator(".chart").nth(at), page.locator("table[data-chart]").nth(at)
        chart.focus()
        page.keyboard.press("ArrowRight")
        label, _, figures = chart.locator(".read").inner_text().partition(": ")
        x = int(table.get_attribute("data-x"))
        rows = [
            [cell.inner_text().strip() for cell in row.query_selector_all("th, td")]
            for row in table.locator("tbody tr").element_handles()
        ]
        shown = {
            text.replace(",", "").rstrip("0").rstrip(".")
            for row in rows
            if row[x].split()[0] == label.split()[0]
            for text in row
        }
        for figure in figures.split(" · "):
            value = figure.rpartition(" ")[2].replace(",", "")
            assert value == "—" or any(text.startswith(value.rstrip("%")[:6].rstrip(".")) for text in shown), (
                figure,
                shown,
            )
    if name == "office-centres-of-one":
        page.locator(".chart").first.focus()
        page.keyboard.press("ArrowRight")
        assert page.locator(".chart .read").first.inner_text() == "2026-10: A100 —", (
            "a month without usage is a gap, and no slope"
        )
    for cell in page.query_selector_all(".heat td"):
        assert cell.inner_text().strip(), "no figure by shade alone"


DEAL = contract()
TYPED = {
    "applicant_name": "松江某某科技有限公司",
    "project": "键盘申报",
    "contract.number": "HT-2026-KEYS",
    "contract.provider": DEAL["provider"],
    "contract.signed_on": "11022026",
    "contract.starts_on": "11102026",
    "contract.ends_on": "10312027",
    "contract.yuan": "200000",
    "contract.sha256": DEAL["sha256"],
}
NO = {"beneficiary.related_to_provider", "material.credit_report.bad_record"}


def answer_by_keys(page, name, kind, value):
    """What a person types in the field that has the focus; the browser is set to write days as in the United States."""
    if kind == "radio":
        page.keyboard.press("ArrowDown" if name in NO else "Space")
    elif name in TYPED and not value:
        page.keyboard.type(TYPED[name])
    elif name.startswith("material.") and kind == "text":
        page.keyboard.type("cd" * 32)


SEND = """fields => {
  const form = document.querySelector('#apply');
  form.replaceChildren(...Object.entries(fields).map(([name, value]) => Object.assign(document.createElement('input'), {name, value})));
  form.submit();
}"""


def fill_by_keys(page):
    """Every field of the page that is shown is reached in order and answered, down to its first button."""
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name, kind, value = page.evaluate("(e => [e.name || '', e.type || '', e.value || ''])(document.activeElement)")
        if name == "act":
            return value
        if name and name not in seen:
            answer_by_keys(page, name, kind, value)
        seen.add(name)
    raise AssertionError(page.inner_text("main"))


def test_keys_alone_apply_without_scripts(site, opened):
    """With JavaScript off and no mouse: page by page every field is reached in order, and the application is there at the end."""
    page = opened("holder", java_script_enabled=False)
    page.goto(address(site, VISITS["apply-company"][1], "zh"))
    titles = []
    while page.inner_text("h1") != APPLY["zh"]["ask_check"]:
        titles.append(page.inner_text("h1"))
        assert fill_by_keys(page) == "next", "the button that goes on comes first"
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.locator(".alert").count() == 0, page.inner_text("main")
        assert titles[-1] != page.inner_text("h1"), page.inner_text("main")
    assert len(titles) == 9
    keep_picture(page, "apply-check")
    page.focus("#send")
    page.keyboard.press("Enter")
    page.wait_for_url("**/applications/R*")
    assert "/applications/R" in page.url, page.inner_text("main")
    assert "键盘申报" in page.inner_text("h1")
    assert TEXTS["zh"]["with_whom"] in page.inner_text("main")


def test_the_page_of_all_answers(site, opened):
    """Axe finds nothing on it, on either ground, and 320 px need no sideways scroll."""
    page = opened("holder", color_scheme="dark" if ALL else "light")
    page.goto(address(site, VISITS["apply-company"][1], "zh"))
    fields = (
        form() | {f"material.{name}": "cd" * 32 for name in ("application_form", "credit_report")} | {"act": "check"}
    )
    with page.expect_navigation():
        page.evaluate(SEND, fields)
    assert page.inner_text("h1") == APPLY["zh"]["ask_check"]
    assert not _told(axe.Axe().run(page).response["violations"])
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_back_in_the_browser_finds_what_was_typed(site, opened):
    """From page to page by the browser's own buttons, without scripts: fields as they were, with those of a page that was refused."""
    page = opened("holder", java_script_enabled=False)
    page.goto(address(site, VISITS["apply-company"][1], "zh"))
    page.fill("#applicant_name", "某某公司")
    for name, value in (("project", "往返的项目"), ("contract\\.number", "HT-往返")):
        with page.expect_navigation():
            page.click("button[value=next]")
        page.fill(f"#{name}", value)
    page.go_back()
    assert page.input_value("#project") == "往返的项目"
    page.go_back()
    assert page.input_value("#applicant_name") == "某某公司"
    page.go_forward()
    page.go_forward()
    assert page.input_value("#contract\\.number") == "HT-往返"


def test_a_file_that_is_too_large_is_said_and_nothing_typed_is_lost(site, chromium, tmp_path):
    """In a page, in the reader's language, and the way back leads to the form as it was."""
    context = chromium.new_context(locale="zh-CN", java_script_enabled=False)  # whose console says 413, as it should
    context.add_cookies([{"name": COOKIE, "value": site.tokens["holder"], "url": site.url}])
    page = context.new_page()
    page.goto(address(site, VISITS["apply-company"][1], "zh"))
    for name in ("applicant_name", "project"):
        page.fill(f"#{name}", "不会丢的项目")
        with page.expect_navigation():
            page.click("button[value=next]")
    page.fill("#contract\\.number", "HT-不会丢")
    large = tmp_path / "contract.pdf"
    large.write_bytes(b"%PDF" + bytes(9 * 1024 * 1024))
    page.set_input_files("input[type=file] >> nth=0", large)
    page.eval_on_selector_all("[required]", "all => all.forEach(one => one.removeAttribute('required'))")
    with page.expect_navigation():
        page.click("button[value=next]")
    assert "body-too-large" in page.content()
    assert "SHA-256" in page.inner_text("main")
    page.go_back()
    assert page.input_value("#contract\\.number") == "HT-不会丢"
    assert page.input_value("input[type=hidden][name=project]") == "不会丢的项目"
    context.close()


def test_a_list_is_found_again_by_its_address(site, opened):
    """Search and columns chosen in a browser without scripts stand in the address; the same address shows the same to another browser."""
    page = opened("holder", java_script_enabled=False)
    page.goto(address(site, "/usage", "zh"))
    page.fill("#usage-find", "job:000003")
    page.press("#usage-find", "Enter")
    page.wait_for_url("**find=*")
    shown = page.inner_text("section table >> nth=-1")
    again = opened("holder")
    again.goto(page.url)
    assert again.inner_text("section table >> nth=-1") == shown
    assert "job:000003" in shown
    assert "job:000004" not in shown


def test_several_rows_and_a_spreadsheet_without_scripts(site, opened, tmp_path):
    """With JavaScript off: ticked, previewed, gone back, confirmed; a table is sent, mended by the words at its cell, and counts."""
    page = opened("officer", java_script_enabled=False)
    page.goto(f"{site.url}/bulk/quarantine")
    page.check("input[type=checkbox][name^='row.']")
    page.check("input[name=deed][value=drop]")
    page.fill("#reason", "型号不存在")
    page.click("button[value=preview]")
    assert BULK["zh"]["preview_able"].format(count=1) in page.inner_text("main")
    page.click("button[name=resume]")
    assert page.is_checked("input[type=checkbox][name^='row.']")
    assert page.input_value("#reason") == "型号不存在"
    page.click("button[value=preview]")
    page.click("button[value=confirm]")
    assert BULK["zh"]["run_counts"].format(done=1, refused=0, waiting=0) in page.inner_text("main")
    sheet = opened("centre", java_script_enabled=False)
    sheet.goto(f"{site.url}/sheets/energy")
    table = tmp_path / "用电.csv"
    for cell, word in (("一百万", "B2"), ("1200000", "")):
        table.write_text(f"月份,总用电,设备用电,其中绿电\n2026-07,{cell},1000000,0\n", encoding="utf-8")
        sheet.fill("#evidence", "cd" * 32)
        sheet.set_input_files("#file", table)
        sheet.click("text=上传并预检")
        if word:
            assert sheet.inner_text("section.alert tbody code") == word
            sheet.click("text=上传另一份")
    sheet.click("text=导入 1 行")
    assert "已导入 1 行" in sheet.inner_text("main")
