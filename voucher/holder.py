"""Who holds a voucher: the 18-character 统一社会信用代码 (unified social credit code, USCC) of GB 32100-2015."""

from __future__ import annotations

import re
from operator import mul

from voucher.errors import VoucherError

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""31 characters, without I, O, S, V and Z, which handwriting confuses with others."""

_CODE = re.compile(rf"[{_ALPHABET}]{{2}}[0-9]{{6}}[{_ALPHABET}]{{10}}")
_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}

_CLASS_OF_REGISTRAR = {"1": "public-institution", "5": "social-organisation", "9": "enterprise"}


def check_uscc(code: str) -> str:
    """`code` itself if it is a valid USCC: 18 characters as printed, none normalised, and the right check character.

    Raises:
        VoucherError: `uscc-malformed` or `uscc-check`.

    """
    if not _CODE.fullmatch(code):
        raise VoucherError(
            "uscc-malformed",
            f"统一社会信用代码应为 18 位：数字或大写字母（无 I、O、S、V、Z），第 3 至 8 位为数字；现为“{code[:40]}”",
            f"a unified social credit code has 18 digits or capitals (no I, O, S, V, Z), digits at places 3 to 8; not {code[:40]!r}",
        )
    if code[17] != _check_character(code[:17]):
        raise VoucherError(
            "uscc-check",
            f"统一社会信用代码“{code}”的校验位不符，请核对是否抄错",
            f"the check character of the unified social credit code {code!r} does not match; compare it with the licence",
        )
    return code


def is_uscc(code: str) -> bool:
    """Whether `check_uscc` takes a code."""
    return _CODE.fullmatch(code) is not None and code[17] == _check_character(code[:17])


def holder_class(code: str) -> str:
    """Kind of organisation by the registering department, the first character of a valid USCC; `other` where it says nothing.

    1 is 机构编制 (state organs, public institutions, most universities and institutes), 5 民政, 9 工商.
    """
    return _CLASS_OF_REGISTRAR.get(code[0], "other")


def sandbox_uscc(number: int) -> str:
    """Code that is valid but nobody's: department and kind 其他 (Y1), place 000000, then `number`, which is below 10**9."""
    if not 0 <= number < 10**9:
        raise VoucherError("sandbox-holder", "沙箱编号应在 0 与 999999999 之间", "a sandbox number is 0 to 999999999")
    body = f"Y1000000{number:09d}"
    return body + _check_character(body)


def _check_character(body: str) -> str:
    total = sum(map(mul, map(_VALUES.__getitem__, body), _WEIGHTS))
    return _ALPHABET[-total % 31]
