"""The printed code is read back by another library, small, rotated and beside other text."""

import dataclasses
import io

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from tests.voucher.samples import IN_COMPUTE, KEY, KEYS, PRIVATE, jwt_of, qr_bytes, qr_of, qr_text
from voucher import cwt, qr
from voucher.document import read_voucher
from voucher.errors import VoucherError
from voucher.status_list import StatusPlace

FULL = dataclasses.replace(
    IN_COMPUTE,
    issuer="https://quan.songjiang.gov.cn",
    centres=("sj01", "sj02", "sj03"),
    actions=("train", "tune", "infer"),
    status=StatusPlace(1_000_000, "https://quan.songjiang.gov.cn/status-lists/26q4"),
)
TEXT = qr_of(FULL)


def rendered(text, scale):
    file = io.BytesIO()
    qr.encode(text).save(file, kind="png", border=qr.BORDER, scale=scale)
    return Image.open(file).convert("L")


def scanned(image):
    return [found.text for found in zxingcpp.read_barcodes(np.asarray(image))]


def test_the_largest_voucher_is_a_version_16_code():
    """434 bytes of CWT make exactly a version 16 at level M, in alphanumeric mode; one byte more is refused."""
    largest = qr_text(bytes(cwt.BYTES_MAX))
    code = qr.encode(largest)
    assert (code.version, code.error, code.mode) == (16, "M", "alphanumeric")
    assert qr.encode(TEXT).version <= 16
    with pytest.raises(VoucherError, match="version 16"):
        qr.encode(qr_text(bytes(cwt.BYTES_MAX + 30)))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("angle", [0, 7, 90, 173])
def test_a_small_rotated_code_is_read_back(scale, angle):
    """At 2, 3 and 4 pixels a module, straight and turned: the very text, which verifies."""
    image = rendered(TEXT, scale).rotate(angle, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
    assert scanned(image) == [TEXT]
    assert read_voucher(scanned(image)[0], KEYS) == (KEY.kid, FULL)


def test_the_png_is_what_is_scanned():
    """The file that a holder gets, with its quiet zone."""
    assert scanned(Image.open(io.BytesIO(qr.render(TEXT, "png"))).convert("L")) == [TEXT]


def test_the_svg_is_a_plain_picture():
    """No script, no address but the name space, a title for those who hear the page; black on white at a given size."""
    svg = qr.render(TEXT, "svg").decode()
    assert "<title>算力券 compute voucher</title>" in svg
    assert svg.count("http") == svg.count("http://www.w3.org/2000/svg") == 1
    assert "<script" not in svg
    assert 'fill="#fff"' in svg


def test_two_codes_in_one_picture_are_two():
    """A code pasted beside another gives two texts, and whoever finds two takes none."""
    other = qr_of(dataclasses.replace(FULL, units=1_000_000_000))
    images = [rendered(text, 3) for text in (TEXT, other)]
    canvas = Image.new("L", (sum(image.width for image in images), max(image.height for image in images)), 255)
    canvas.paste(images[0], (0, 0))
    canvas.paste(images[1], (images[0].width, 0))
    assert sorted(scanned(canvas)) == sorted([TEXT, other])


@pytest.mark.parametrize(
    "text", ["https://quan.example/v/1", "=cmd()|' /C calc'!A0", "\u202eSQ1:", jwt_of(IN_COMPUTE), "sq1:ABC", ""]
)
def test_nothing_but_a_voucher_gets_a_code(text):
    """Addresses, formulas, right-to-left marks and long tokens are refused before they look like ours."""
    with pytest.raises(VoucherError) as caught:
        qr.render(text, "svg")
    assert caught.value.code == "qr-content"


def test_another_format_is_refused():
    """SVG and PNG, no more."""
    with pytest.raises(VoucherError, match="svg or png"):
        qr.render(TEXT, "gif")


def test_the_code_of_a_forged_voucher_is_read_and_refused():
    """A changed byte still makes a code that any phone reads; the signature tells."""
    data = bytearray(qr_bytes(TEXT))
    data[200] ^= 1
    [text] = scanned(rendered(qr_text(bytes(data)), 3))
    with pytest.raises(VoucherError):
        read_voucher(text, {KEY.kid: KEY})
    assert PRIVATE
