"""The QR code of a voucher: its `SQ1:` text at error level M in the smallest version, 16 at most, as SVG or PNG.

The text uses the 45 characters of QR's alphanumeric mode, so a code holds half as much again as in bytes.
"""

from __future__ import annotations

import io

import segno

from ledger.errors import Kind
from voucher import cwt
from voucher.errors import VoucherError

VERSION_MAX = 16
BORDER = 4
"""Modules of quiet zone that ISO/IEC 18004 asks for."""
PNG_SCALE = 4
FORMATS = ("svg", "png")


def render(text: str, form: str) -> bytes:
    """File of a code, `svg` or `png`.

    Raises:
        VoucherError: `qr-content`: not the text of a voucher, so nothing else gets our look; `qr-format`.

    """
    if form not in FORMATS:
        raise VoucherError("qr-format", f"格式应为 {'、'.join(FORMATS)}", f"the format is {' or '.join(FORMATS)}")
    file = io.BytesIO()
    scale = PNG_SCALE if form == "png" else 1
    encode(text).save(file, kind=form, border=BORDER, scale=scale, **_SVG if form == "svg" else {})
    return file.getvalue()


_SVG = {"title": "算力券 compute voucher", "svgclass": None, "lineclass": None, "light": "#fff", "omitsize": False}


def encode(text: str) -> segno.QRCode:
    """Code of a voucher's text.

    Raises:
        VoucherError: `qr-content`.

    """
    if not text.startswith(cwt.PREFIX):
        raise VoucherError(
            "qr-content", "只为 SQ1: 凭证生成二维码", "codes are made of SQ1: texts alone", kind=Kind.INVALID
        )
    try:
        code = segno.make_qr(text, error="m", mode="alphanumeric", boost_error=False)
    except ValueError as error:
        raise _too_large() from error
    if int(code.version) > VERSION_MAX:
        raise _too_large()
    return code


def _too_large() -> VoucherError:
    return VoucherError(
        "qr-content", f"凭证超过版本 {VERSION_MAX} 二维码的容量", f"more than a code of version {VERSION_MAX} holds"
    )
