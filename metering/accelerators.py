"""The accelerator register: which card a word means, and its dense FP16 peak, valid from a day on.

A word that the register does not know, or knows only from a later day, resolves to None: such usage is held until a
person has registered the card. It is never counted as zero.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter

from ledger.amount import INT64_MAX
from metering.registers import Entry, entries_of
from metering.sources.values import UNKNOWN_MODEL

CONFIDENCES = frozenset({"v", "p", "m"})
"""Where a figure comes from: v read in published source code, p seen on a public page, m not yet checked."""

_BLANK = re.compile(r"[\s_]+")


@dataclass(frozen=True, slots=True)
class AcceleratorModel:
    """One card's figures while `[from_us, to_us)` lasts; `gflops` is its dense FP16 peak, structured sparsity left out."""

    model: str
    gflops: int
    from_us: int
    to_us: int
    precision: str
    source: str
    confidence: str
    note: str


_FROM = attrgetter("from_us")


def normalised(word: str) -> str:
    """Give the form in which words are compared: without case, blanks, underscores, full-width forms and a leading `NVIDIA`."""
    parts = [part for part in _BLANK.split(unicodedata.normalize("NFKC", word).casefold()) if part]
    return "".join(parts[1:] if parts[:1] == ["nvidia"] else parts)


class AcceleratorRegister:
    """Resolves the words of schedulers and exporters; a later entry of a model replaces its figures from its day on."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._model_of: dict[str, str] = {}
        self._versions: dict[str, list[AcceleratorModel]] = {}
        for entry in entries:
            self._add(entry)

    @property
    def models(self) -> tuple[str, ...]:
        """The canonical names, in the order of the file."""
        return tuple(self._versions)

    @property
    def words(self) -> dict[str, str]:
        """Every word that means a card, and the card's canonical name."""
        return dict(self._model_of)

    def versions(self, model: str) -> tuple[AcceleratorModel, ...]:
        """Every entry of a model, in order of time."""
        return tuple(self._versions[model])

    def resolve(self, word: str, at_us: int) -> AcceleratorModel | None:
        """Find the card that a word meant at an instant; None: not registered, so hold the usage."""
        model = self._model_of.get(word) or self._model_of.get(normalised(word))
        if model is None:
            return None
        versions = self._versions[model]
        place = bisect_right(versions, at_us, key=_FROM)
        return versions[place - 1] if place else None

    def _add(self, entry: Entry) -> None:
        model, aliases = entry.text("model"), entry.texts("aliases")
        version = _version_of(entry, model)
        entry.finish()
        versions = self._versions.setdefault(model, [])
        if versions:
            if versions[-1].from_us >= version.from_us:
                entry.refuse(
                    "同一型号后登记的生效日应更晚", "a later entry of the same model must begin on a later day"
                )
            versions[-1] = replace(versions[-1], to_us=version.from_us)
        versions.append(version)
        words = {normalised(word) for word in (model, *aliases)}
        if len(words) <= len(aliases):
            entry.refuse("别名重复（不区分大小写与空格）", "it repeats an alias; case and blanks make no difference")
        for word in words | {model, *aliases}:
            if word == UNKNOWN_MODEL or self._model_of.setdefault(word, model) != model:
                entry.refuse(f"“{word}”已指另一型号", f"{word!r} already means another model")


def _version_of(entry: Entry, model: str) -> AcceleratorModel:
    if entry.text("density") != "dense":
        entry.refuse(
            '只登记稠密算力（density = "dense"）；结构化稀疏的数值约为其两倍',
            'register the dense figure (density = "dense"); one with structured sparsity is about twice as large',
        )
    version = AcceleratorModel(
        model=model,
        gflops=entry.positive("fp16_gflops"),
        from_us=entry.day_us("effective_from"),
        to_us=INT64_MAX,
        precision=entry.text("precision"),
        source=entry.text("source"),
        confidence=entry.text("confidence"),
        note=entry.text("note") if entry.has("note") else "",
    )
    if version.confidence not in CONFIDENCES:
        entry.refuse("confidence 应为 v、p 或 m", "confidence must be v, p or m")
    return version


def load_accelerators(data: bytes, file: str) -> AcceleratorRegister:
    """Load the register of a TOML file of `[[accelerator]]` entries.

    Raises:
        MeteringError: anything unknown, missing, doubled or of another type; the message names the file and the entry.

    """
    return AcceleratorRegister(entries_of(data, file, "accelerator"))
