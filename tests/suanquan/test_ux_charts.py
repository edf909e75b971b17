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
  const table = document.querySelectorAll("table[data-chart]")[which], real = uPlot;
  const frame = (table.closest("details") ?? table).previousElementSibling;
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
  const label = read_.labels.indexOf(text(table.tBodies[0].rows[0].cells[Number(table.dataset.x)]));
  window.uPlot = real;
  body.innerHTML = kept;
  const months = read_.labels.every((one) => /^\\d{4}-\\d\\d( |$)/.test(one));
  return { data, labels: read_.labels, at: label, kind: table.dataset.chart, series: read_.series.length, months };
}"""


VISITED = (
    "voucher",
    "office-centres",
    "office-budgets",
    "office-supply",
    *(("office-uptake", "office-flow") if ALL else ()),
)


def test_what_is_missing_is_never_drawn_as_nought(site, opened):  # noqa: F811
    """A dash, words instead of a figure, and months without a row are gaps of every chart; a nought that is known is one, where lines are."""
    drawn = 0
    for name in VISITED:
        who, path = VISITS[name]
        page = opened(who)
        page.goto(address(site, path, "zh"))
        page.wait_for_selector(".chart canvas")
        for which in range(page.locator("table[data-chart]").count()):
            table = page.locator("table[data-chart]").nth(which)
            if table.get_attribute("data-chart") == "multiples":
                drawn += row_by_row(page, which)
                continue
            for change in ("dash", "words"):
                given = page.evaluate(GIVEN, [which, change])
                values = [series[given["at"]] for series in given["data"][1:]]
                assert None in values, (name, which, change, values)
                assert 0 not in values[: given["series"]] or given["kind"] != "stack", (name, which, change)
            given = page.evaluate(GIVEN, [which, "nought"])
            if given["kind"] == "line":
                assert 0 in [series[given["at"]] for series in given["data"][1:]], "a nought that is known is drawn"
            if (
                table.locator("tbody th, tbody td").filter(has_text="2026-1").count()
                and name != "voucher"
                and given["months"]
            ):
                given = page.evaluate(GIVEN, [which, "month"])
                assert given["labels"][:3] == ["2026-01", "2026-02", "2026-03"], given["labels"]
                gap = given["labels"].index("2026-03")
                count = given["series"]
                assert all(series[gap] is None for series in given["data"][1 : count + 1]), (
                    "a month that nobody told of"
                )
            drawn += 1
    assert drawn >= (9 if ALL else 7)


ROW = """([which, change]) => {
  const table = document.querySelectorAll("table[data-chart]")[which], row = table.tBodies[0].rows[0];
  const cell = row.cells[Number(table.dataset.first)], kept = cell.innerHTML;
  cell.textContent = change;
  const values = readRow(table, row).series[0].values;
  cell.innerHTML = kept;
  return values;
}"""


def row_by_row(page, which):
    """Of small plots, one for each row, a cell without a figure is a gap, and one with a nought is drawn."""
    for change, value in (("—", None), ("没有数字", None), ("0.0%", 0), ("12.5%", 12.5)):
        assert page.evaluate(ROW, [which, change])[0] == value, change
    rows = page.locator("table[data-chart]").nth(which).locator("tbody tr").count()
    assert page.locator(".multiples .chart").count() == rows
    return 1


def test_what_is_not_over_and_what_nobody_knows_is_told_to_the_eye(site, opened):  # noqa: F811
    """A month that runs is hatched and named, a forecast is broken lines, a limit has its name: what the drawing is given."""
    page = opened("officer")
    page.goto(address(site, VISITS["office-budgets"][1], "zh"))
    page.wait_for_selector(".chart canvas")
    model = page.evaluate("read(document.querySelector('table[data-over]'))")
    assert model["labels"] == [f"2026-{month:02d}" for month in range(1, 13)]
    assert model["open"].index(True) == 10
    assert model["told"] == [True] * 12
    assert [one["name"] for one in model["limit"]] == ["预算"]
    assert set(model["limit"][0]["values"]) == {10_000_000_000}
    assert [one["name"] for one in model["over"]] == ["照此至少核销", "照此预计核销", "照此至多核销"]
    assert all(one["values"] == [None] * 12 for one in model["over"]), "eleven days are too few for a forecast"
    assert all(one["values"][0] is None for one in model["series"]), "in January there was no voucher, which is not 0"
    assert model["series"][1]["values"][10] == pytest.approx(3_959.23077)
    assert page.evaluate("document.querySelector('details.figures').open") is False
    legend = page.locator(".chart ul").first.inner_text()
    assert "八成区间" in legend
    assert "预算" in legend


def test_the_first_page_answers_four_questions_above_the_fold(site, opened):  # noqa: F811
    """Budget, use, flow and trust, each at most 260 px high, all within 1366 × 768, in both languages; without scripts tables are open."""
    for language in ("zh", "en"):
        page = opened("officer")
        page.set_viewport_size({"width": 1366, "height": 768})
        page.goto(address(site, "/office", language))
        page.wait_for_selector(".four canvas")
        boxes = [one.bounding_box() for one in page.locator(".four > section").element_handles()]
        assert len(boxes) == 4
        heights = page.evaluate(
            "[...document.querySelectorAll('.four > section')].map((one) => [...one.children].reduce((sum, child) => sum + child.getBoundingClientRect().height, 0))"
        )
        assert max(heights) <= 260, heights
        assert max(box["y"] + box["height"] for box in boxes) <= 768, boxes
    plain = opened("officer", java_script_enabled=False)
    plain.goto(address(site, "/office", "zh"))
    assert plain.locator(".four details[open] table").count() == 2
    assert plain.locator(".chart").count() == 0
