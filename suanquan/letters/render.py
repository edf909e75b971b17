"""From the content of a letter to its PDF: the same content and fonts give the same bytes."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import segno
import typst

from ledger.errors import Finding, Kind
from suanquan.errors import ServiceError
from suanquan.letters.glyphs import coverage, missing, strings, unreadable

FAMILY = "Noto Sans CJK SC"
STANDARD: Final = "a-2a"
"""PDF/A-2a: kept for decades, readable aloud, and no character without a glyph."""
FONT_BYTES_MAX = 32 * 1024 * 1024
_HERE = Path(str(resources.files("suanquan.letters")))
FONTS = _HERE / "fonts"
TEMPLATE = _HERE / "letter.typ"
UNSEEN = ("qr",)
"""Content that is drawn as a picture, not as text."""


def own_fonts(folder: Path) -> list[Path]:
    """The operator's own fonts, which are asked for what ours lacks: `.otf` and `.ttf` files of a folder, in order of name."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.suffix.lower() in (".otf", ".ttf")]


@functools.lru_cache(maxsize=8)
def _covered(path: Path, _changed_ns: int) -> frozenset[int]:
    data = path.read_bytes()
    if len(data) > FONT_BYTES_MAX:
        raise unreadable(str(path), f"larger than {FONT_BYTES_MAX} bytes")
    return coverage(data, str(path))


def covered(fonts: Sequence[Path]) -> frozenset[int]:
    """Code points that any of these fonts, or ours, can show."""
    files = [*own_fonts(FONTS), *fonts]
    return frozenset().union(*(_covered(path, path.stat().st_mtime_ns) for path in files))


def check_glyphs(content: Mapping[str, Any], fonts: Sequence[Path]) -> None:
    """Refuse a letter with a character that would come out as a box, or not at all.

    Raises:
        ServiceError: `glyph-missing`, with a finding for each member of the content at fault.

    """
    known = covered(fonts)
    findings = [
        Finding(
            "glyph-missing",
            f"字体中没有“{lacking}”（{_codes(lacking)}）",
            f"no font has {lacking!r} ({_codes(lacking)})",
            f"/{name}",
        )
        for name, value in content.items()
        if name not in UNSEEN and (lacking := missing(strings(value), known))
    ]
    if findings:
        raise ServiceError(
            "glyph-missing",
            "决定书中有随附字体没有的字；请把含该字的字体（.otf 或 .ttf）放入数据目录的 fonts 文件夹",
            "the letter has characters that no font has; put a font with them (.otf or .ttf) into fonts of the home",
            kind=Kind.UNAVAILABLE,
            findings=findings,
        )


def _codes(characters: str) -> str:
    return " ".join(f"U+{ord(one):04X}" for one in characters)


def qr_svg(text: str) -> str:
    """A QR code (ISO/IEC 18004, level M) with its quiet zone, as SVG."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="svg", border=4, xmldecl=False, svgns=True)
    return out.getvalue().decode()


def fonts_of(fonts: Sequence[Path]) -> typst.Fonts:
    """Our font and these, and none of the system's: a letter looks the same on every machine."""
    folders = [str(folder) for folder in dict.fromkeys([FONTS, *(path.parent for path in fonts)])]
    loaded = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)
    taken = {font.path for font in loaded.fonts()}
    for path in fonts:
        if str(path) not in taken:
            raise unreadable(str(path), "typst does not take it; it may lack a PostScript name")
    return loaded


def render(content: Mapping[str, Any], at_s: int, fonts: Sequence[Path] = ()) -> bytes:
    """PDF of a letter, dated `at_s` (POSIX seconds); `fonts` are asked in order for what ours lacks.

    Raises:
        ServiceError: `glyph-missing`, or `letter-failed` where typst refuses.

    """
    check_glyphs(content, fonts)
    loaded = fonts_of(fonts)
    families = [FAMILY, *(name for name in loaded.families() if name != FAMILY)]
    data = {**content, "qr": qr_svg(content["qr"])}
    inputs = {"data": json.dumps(data, ensure_ascii=False), "fonts": json.dumps(families, ensure_ascii=False)}
    try:
        compiler = typst.Compiler(TEMPLATE.read_bytes(), font_paths=loaded, sys_inputs=inputs)
        made = compiler.compile(format="pdf", timestamp=at_s, pdf_standards=[STANDARD])
    except typst.TypstError as fault:
        raise ServiceError(
            "letter-failed",
            "决定书没有排成 PDF；决定本身不受影响",
            f"the letter could not be set: {fault}",
            kind=Kind.UNAVAILABLE,
        ) from fault
    assert isinstance(made, bytes)
    return made
