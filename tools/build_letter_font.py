"""Makes the font of decision letters: the characters that letters need, cut out of Noto Sans CJK SC (SIL OFL 1.1).

    .venv-dev/bin/python tools/build_letter_font.py NotoSansCJK-Regular.ttc

The source is Debian's package fonts-noto-cjk (or any copy of the same release). The characters are GB/T 2312 with its
symbols, Latin-1, the marks below, and what the Table of General Standard Chinese Characters
(通用规范汉字表, 8,105 characters) has beyond GB/T 2312: those stand in letter_characters.txt, from Unihan's kTGH.
The same source and the same fontTools give the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTCollection, TTFont

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "suanquan/letters/fonts/NotoSansCJKsc-Letters.otf"
FACE = "Noto Sans CJK SC"
MARKS = "—–‘’“”…•′″‰※€²³㎡→←↑↓✓≤≥≠×÷±〔〕【】〇﹏￥"
UNUSED = ["vhea", "vmtx", "VORG", "BASE", "GPOS", "GSUB", "DSIG"]
"""Tables for vertical text and for kerning, which letters do not have."""


def gb2312() -> set[str]:
    """Every character of GB/T 2312: 6,763 Han and 682 others."""
    found = set()
    for row in range(0xA1, 0xF8):
        codes = (bytes([row, cell]) for cell in range(0xA1, 0xFF))
        found |= {character for code in codes if (character := code.decode("gb2312", "ignore"))}
    return found


def characters() -> set[str]:
    """Every character that the font is to have."""
    latin = {chr(code) for code in (*range(0x20, 0x7F), *range(0xA0, 0x100))}
    beyond = set((HERE / "letter_characters.txt").read_text("utf-8")) - {"\n"}
    return gb2312() | latin | set(MARKS) | beyond


def make(source: Path) -> TTFont:
    """The face with these characters alone, without hints."""
    [font] = [font for font in TTCollection(source).fonts if font["name"].getDebugName(4) == FACE]
    wanted = {ord(character) for character in characters()}
    if lacking := wanted - font.getBestCmap().keys():
        raise SystemExit(f"{source} lacks {''.join(map(chr, sorted(lacking)))}")
    options = Options(hinting=False, layout_features=[], notdef_outline=True, glyph_names=False, bidi_closure=False)
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 7, 13, 14]  # copyright, names, trademark, licence and its address
    options.drop_tables += UNUSED
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=wanted)
    subsetter.subset(font)
    font["head"].modified = font["head"].created  # the day of the cut is not part of it
    font.recalcTimestamp = False
    return font


def main() -> None:
    """Write the font."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    font = make(Path(sys.argv[1]))
    font.save(TARGET)
    print(f"{TARGET.name}: {font['maxp'].numGlyphs} glyphs, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
