"""What can be seen by everybody: contrasts of text, lines and focus in both themes, and charts without colours (WCAG 2.2 AA)."""

import re

import pytest

from tests.suanquan.test_portal import PORTAL, luminance

STYLE = (PORTAL / "static/page.css").read_text("utf-8")
THEMES = ("light", "dark", "print")
TEXT, LINE = 4.5, 3.0
SERIES = tuple(f"series-{number}" for number in range(1, 6))


def themes():
    """Colours by name of each theme; what a later one does not set stays as it was (print is of the light theme)."""
    light, dark, paper = (
        dict(re.findall(r"--([\w-]+): (#\w+);", block)) for block in re.findall(r":root {(.*?)}", STYLE, re.DOTALL)
    )
    return dict(zip(THEMES, (light, light | dark, light | paper), strict=True))


def contrast(one, other):
    """Ratio of the luminances of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(colour, share, other):
    """`color-mix(in srgb, colour share, other)`."""
    pairs = [(int(colour[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def full(colour):
    return colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])


def rules():
    """Declarations by selector, those of media queries among them."""
    plain = re.sub(r"/\*.*?\*/", "", STYLE, flags=re.DOTALL)
    return [
        (one.strip(), dict(re.findall(r"([\w-]+)\s*:\s*([^;}]+)", body)))
        for one, body in re.findall(r"([^{}]+){([^{}]*)}", plain)
    ]


def test_the_formula_is_that_of_wcag():
    """Black on white is 21 to 1, and the grey that is known to be just enough is."""
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("theme", THEMES)
def test_text_lines_and_focus_can_be_seen(theme):
    """Every colour in which text, a control's line or the focus is drawn, on every ground on which it stands."""
    of = themes()[theme]
    pairs = [(name, ground, TEXT) for name in ("text", "quiet", "accent", "alert") for ground in ("ground", "panel")]
    pairs += [("on-accent", "accent", TEXT)] * (theme != "print")  # paper has no buttons: forms are not printed
    pairs += [(name, ground, LINE) for name in ("line", "accent", "alert") for ground in ("ground", "panel")]
    pairs += [(name, "ground", LINE) for name in SERIES]
    for name, ground, least in pairs:
        assert contrast(of[name], of[ground]) >= least, (name, ground, contrast(of[name], of[ground]))


@pytest.mark.parametrize("theme", THEMES)
def test_text_in_shaded_cells_can_be_read(theme):
    """Heat tables shade their cells with a share of the accent."""
    of = themes()[theme]
    shares = [
        int(share) / 100
        for share in re.findall(r"level-\d { background: color-mix\(in srgb, var\(--accent\) (\d+)%", STYLE)
    ]
    assert len(shares) == 4
    shades = [mixed(full(of["accent"]), share, full(of["ground"])) for share in shares]
    assert all(contrast(of[name], shade) >= TEXT for shade in shades for name in ("text", "quiet")), shades
    light = [luminance(shade) for shade in (full(of["ground"]), *shades)]
    assert light in (sorted(light), sorted(light, reverse=True)), "the more, the darker, or on black the lighter"


def test_every_colour_of_text_is_one_that_was_looked_at():
    """No rule draws text in a colour beside those of the themes, but the band of the sandbox, which brings its own ground."""
    known = {f"var(--{name})" for name in ("text", "quiet", "accent", "alert", "on-accent")} | {"inherit"}
    for selector, said in rules():
        if (colour := said.get("color", "").strip()) and colour not in known:
            assert contrast(colour, said["background"].strip()) >= TEXT, (selector, colour)


def test_focus_is_a_thick_line_of_its_own():
    """Three pixels of the accent with a gap, and no rule takes the outline away."""
    assert ":focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }" in STYLE
    assert not [selector for selector, said in rules() if said.get("outline", "").strip() in {"none", "0"}]


def test_what_controls_are_edged_with_can_be_seen():
    """Inputs, areas and choices have an edge of `line` (3 to 1 or more), not of the softer one that parts rows."""
    edged = [
        (selector, said["border"])
        for selector, said in rules()
        if "border" in said and re.match("input|select|textarea|button", selector)
    ]
    assert len(edged) > 3
    assert not [selector for selector, border in edged if "--soft" in border]


def test_charts_are_told_apart_in_grey():
    """The hues of a theme may be alike in grey: each line has a dash of its own, each bar a hatch, in the legend as in the chart."""
    script = (PORTAL / "static/charts.js").read_text("utf-8")
    kinds = re.search(r"const DASHES = \[(.*)\];", script)[1], re.search(r"const lines = \[(.*)\]\[kind\];", script)[1]
    for drawn in kinds:
        found = re.findall(r"\[[\d, ]*\]", drawn)
        assert len(set(found)) == len(found) == len(SERIES), found
    assert "return { stroke, width: 2.5, dash: DASHES[at]," in script
    assert 'if (look === "stack") return { stroke, width: 0,' in script
    assert "fill: (self) => hatch(self.ctx, stroke, at) };" in script
    assert "setLineDash(" in re.search(r"function swatch.*?\n}", script, re.DOTALL)[0], "the legend has the same"


@pytest.mark.parametrize("theme", THEMES)
def test_parts_of_a_voucher_are_told_apart_in_grey(theme):
    """The bar's parts are drawn in colours of the theme, parted by a gap that can be seen beside each of them."""
    parts = re.findall(r"\.part-\w+ { fill: var\(--([\w-]+)\); }", STYLE)
    assert len(parts) == len(set(parts)) == 6
    assert ".stack rect { stroke: var(--ground); stroke-width: 2px;" in STYLE
    of = themes()[theme]
    assert all(contrast(of[name], of["ground"]) >= LINE for name in parts)
