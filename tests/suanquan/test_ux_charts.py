"""What is missing is a gap of a chart: what the drawing library is given, of tables with cells and months taken out."""

import pytest

from tests.conftest import ALL
from tests.suanquan.browsing import NEEDS_CHROMIUM
from tests.suanquan.site import VISITS
from tests.suanquan.test_portal_browser import address, chromium, opened  # noqa: F401 - fixtures

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def site(acted_on):
    """Where `opened` goes."""
    return acted_on


GIVEN = """([which, change]) => {
  const table = document.querySelectorAll("table[data-chart]")[which], frame = table.previousElementSibling, real = uPlot;
  const body = table.tBodies[0], kept = body.innerHTML, column = Number(table.dataset.series.split(",")[0]);
  if (change === "dash") body.rows[0].cells[column].textContent = "—";
  if (change === "words") body.rows[0].cells[column].textContent = "没有登记的卡";
  if (change === "nought") body.rows[0].cells[column].textContent = "0.00";
  let data;
  window.uPlot = function (_, given) { data = given; };
  window.uPlot.paths = real.paths;
  if (change === "month") {
    const row = body.rows[0].cloneNode(true);
    row.cells[Number(table.dataset.x)].textContent = "2026-01";
    body.append(row);
  }
  const read_ = read(table);
  plot(frame, table);
  const label = read_.labels.indexOf(table.tBodies[0].rows[0].cells[Number(table.dataset.x)].textContent.trim().replace(/\\s+/g, " "));
  window.uPlot = real;
  body.innerHTML = kept;
  return { data, labels: read_.labels, at: label, kind: table.dataset.chart };
}"""


def test_what_is_missing_is_never_drawn_as_nought(site, opened):  # noqa: F811
    """A dash, words instead of a figure, and months without a row are gaps of every chart; a nought that is known is one, where lines are."""
    drawn = 0
    for name in ("voucher", "office-centres", *(("office-uptake", "office-budgets") if ALL else ("office-budgets",))):
        who, path = VISITS[name]
        page = opened(who)
        page.goto(address(site, path, "zh"))
        page.wait_for_selector(".chart canvas")
        for which in range(page.locator("table[data-chart]").count()):
            for change in ("dash", "words"):
                given = page.evaluate(GIVEN, [which, change])
                values = [series[given["at"]] for series in given["data"][1:]]
                assert None in values, (name, which, change, values)
                assert 0 not in values or given["kind"] == "line", (name, which, change)
            given = page.evaluate(GIVEN, [which, "nought"])
            if given["kind"] == "line":
                assert 0 in [series[given["at"]] for series in given["data"][1:]], "a nought that is known is drawn"
            if page.locator("table[data-chart]").nth(which).locator("tbody th, tbody td").filter(has_text="2026-1").count() and name != "voucher":  # fmt: skip
                given = page.evaluate(GIVEN, [which, "month"])
                assert given["labels"][:3] == ["2026-01", "2026-02", "2026-03"], given["labels"]
                gap = given["labels"].index("2026-03")
                assert all(series[gap] is None for series in given["data"][1:]), "a month that nobody told of"
            drawn += 1
    assert drawn >= (5 if ALL else 3)
