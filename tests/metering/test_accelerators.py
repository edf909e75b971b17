"""The register of accelerators: which words it knows, from when, and what it refuses to load."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from metering.accelerators import AcceleratorRegister, load_accelerators, normalised
from metering.errors import MeteringError
from metering.zones import shanghai_day_us
from tests.shared_data import ROOT

FILE = ROOT / "config" / "accelerators" / "accelerators.toml"
NOW_US = shanghai_day_us(date(2026, 11, 22))
PLAYED_US = shanghai_day_us(date(2016, 12, 22))

ENTRY = {
    "model": '"A100"',
    "aliases": '["A100-SXM4-80GB"]',
    "fp16_gflops": "312_000",
    "density": '"dense"',
    "precision": '"FP16 tensor"',
    "source": '"a sheet"',
    "confidence": '"v"',
    "effective_from": "2015-01-01",
}


def toml(*entries: dict[str, str | None]) -> bytes:
    lines = []
    for changes in entries:
        members = {**ENTRY, **changes}
        lines += ["[[accelerator]]", *(f"{name} = {value}" for name, value in members.items() if value is not None)]
    return "\n".join(lines).encode()


def register() -> AcceleratorRegister:
    return load_accelerators(FILE.read_bytes(), FILE.name)


@pytest.mark.parametrize(
    ("word", "model", "gflops"),
    [
        ("a100", "A100", 312_000),
        ("A100-SXM4-80GB", "A100", 312_000),
        ("nvidia_a100-sxm4-80gb", "A100", 312_000),
        ("NVIDIA A100 80GB PCIe", "A100", 312_000),
        ("A800-SXM4-80GB", "A800", 312_000),
        ("h100", "H100-SXM", 989_000),
        ("H100-PCIE", "H100-PCIe", 756_000),
        ("Tesla V100-SXM2-32GB", "V100-SXM2", 125_000),
        ("V100-SXM2", "V100-SXM2", 125_000),
        ("NVIDIA GeForce RTX 4090", "RTX-4090", 165_000),
        ("910A-Ascend-V1", "Ascend-910A", 256_000),
        ("Ascend 910B3", "Ascend-910B3", 313_000),
        ("ascend910b3", "Ascend-910B3", 313_000),
        ("寒武纪 MLU370-X8", "MLU370-X8", 96_000),
        ("海光 K100_AI", "K100-AI", 196_000),
        ("ＮＶＩＤＩＡ　Ｈ２０", "H20", 148_000),
    ],
)
def test_words_of_schedulers_and_exporters_resolve(word, model, gflops):
    """Case, blanks, underscores, full-width letters and a leading NVIDIA make no difference; old traces can be played."""
    for at_us in (PLAYED_US, NOW_US):
        card = register().resolve(word, at_us)
        assert (card.model, card.gflops) == (model, gflops)


@pytest.mark.parametrize(
    "word",
    ["unknown", "", " ", "NVIDIA", "gpu", "a100_3g.20gb", "nvidia_a100_3g.20gb", "Ascend910B", "910B", "S5000", "H10"],
)
def test_words_that_mean_no_registered_card_are_held(word):
    """A slice of a card, a family whose bins differ, a card without a sound figure: None, never zero."""
    assert register().resolve(word, NOW_US) is None


def test_figures_are_dense():
    """The sheets' sparse figures (A100 624, H100 1,979 TFLOPS) stand nowhere; 20,000 PFLOPS are 64,103 A100 or 20,223 H800."""
    gflops = {model: register().resolve(model, NOW_US).gflops for model in register().models}
    assert not {624_000, 1_979_000} & set(gflops.values())
    assert -(-20_000_000_000 // gflops["A100"]) == 64_103
    assert -(-20_000_000_000 // gflops["H800"]) == 20_223


def test_every_figure_says_where_it_comes_from():
    """Source and confidence are data; what was not checked is marked and can be counted."""
    cards = [register().resolve(model, NOW_US) for model in register().models]
    marks = Counter(card.confidence for card in cards)
    assert marks.keys() == {"v", "p", "m"}
    assert all(card.source and card.precision for card in cards)
    assert all("not yet checked" in card.source for card in cards if card.confidence == "m")
    assert "Assumption" in register().resolve("h100", NOW_US).note


def test_a_corrected_figure_holds_from_its_day_on():
    """Usage is rated by its own time: a later entry leaves earlier records as they were."""
    loaded = load_accelerators(toml({}, {"fp16_gflops": "300_000", "effective_from": "2026-03-01"}), "f")
    change_us = shanghai_day_us(date(2026, 3, 1))
    before, after = loaded.resolve("a100", change_us - 1), loaded.resolve("a100", change_us)
    assert (before.gflops, after.gflops) == (312_000, 300_000)
    assert before.to_us == after.from_us == change_us
    assert loaded.resolve("a100", shanghai_day_us(date(2015, 1, 1)) - 1) is None


def test_words_are_compared_in_one_form():
    """What is left of a word once its dress is off."""
    assert normalised(" NVIDIA  A100_80GB PCIe ") == "a10080gbpcie"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"fp16_gflops": "312e3"}], "fp16_gflops must be a positive integer"),
        ([{"fp16_gflops": "312000.0"}], "fp16_gflops must be a positive integer"),
        ([{"fp16_gflops": "0"}], "fp16_gflops must be a positive integer"),
        ([{"fp16_gflops": "true"}], "fp16_gflops must be a positive integer"),
        ([{"fp16_gflops": '"312000"'}], "fp16_gflops must be a positive integer"),
        ([{"fp16_gflops": None}], "fp16_gflops is missing"),
        ([{"source": '" "'}], "source must be a string"),
        ([{"aliases": '"A100"'}], "aliases must be an array"),
        ([{"aliases": '["a", 5]'}], "aliases must be an array"),
        ([{"effective_from": '"2015-01-01"'}], "effective_from must be a date"),
        ([{"effective_from": "2015-01-01T00:00:00Z"}], "effective_from must be a date"),
        ([{"density": '"sparse"'}], "twice as large"),
        ([{"confidence": '"x"'}], "confidence must be v, p or m"),
        ([{"tflops": "312"}], "unknown members tflops"),
        ([{}, {}], "later day"),
        ([{}, {"effective_from": "2014-01-01"}], "later day"),
        ([{"aliases": '["a 100"]'}], "repeats an alias"),
        ([{"aliases": '["x", "X"]'}], "repeats an alias"),
        ([{}, {"model": '"A800"', "aliases": '["a100"]'}], "'a100' already means another model"),
        ([{}, {"model": '"NVIDIA A100"', "aliases": "[]"}], "already means another model"),
        ([{"aliases": '["unknown"]'}], "'unknown' already means another model"),
    ],
)
def test_a_faulty_register_is_refused_by_entry(entries, message):
    """Every refusal names the file and the entry, in both languages."""
    with pytest.raises(MeteringError, match=message) as refusal:
        load_accelerators(toml(*entries), "cards.toml")
    assert refusal.value.code == "register-invalid"
    assert f"cards.toml #{len(entries)} " in refusal.value.en
    assert f"cards.toml #{len(entries)} " in refusal.value.zh


@pytest.mark.parametrize(
    "data", [b"[[accelerator", b"\xff", b"", b"accelerator = 5", b"accelerator = [5]", toml({}) + b"\n[other]"]
)
def test_a_file_that_is_no_register_is_refused(data):
    """Broken TOML, another encoding, nothing at all, or something beside the entries."""
    with pytest.raises(MeteringError, match=r"cards\.toml"):
        load_accelerators(data, "cards.toml")
