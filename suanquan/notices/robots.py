"""Robots of 企业微信 and 钉钉: the text they post in a group, the signature of 钉钉, and what their answers mean."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from urllib.parse import quote_plus

TEXT_BYTES_MAX = 2_000
"""企业微信 takes 2,048 bytes of text; a longer one is cut, and says so."""
_CUT = "\n……（余下请见收件箱 / more in the inbox）"


def text_of(lines: Sequence[str]) -> str:
    """Notices as one message, each a line."""
    head = f"【算券】{len(lines)} 条通知\n" if len(lines) > 1 else "【算券】"
    data = (head + "\n".join(lines)).encode()
    if len(data) <= TEXT_BYTES_MAX:
        return data.decode()
    return data[: TEXT_BYTES_MAX - len(_CUT.encode())].decode(errors="ignore") + _CUT


def body_of(lines: Sequence[str]) -> bytes:
    """What both robots take."""
    return json.dumps({"msgtype": "text", "text": {"content": text_of(lines)}}, ensure_ascii=False).encode()


def signed_url(url: str, secret: str, at_ms: int) -> str:
    """The address of a 钉钉 robot with 加签: base64 of HMAC-SHA256 over the time and the secret, by the secret."""
    if not secret:
        return url
    code = hmac.new(secret.encode(), f"{at_ms}\n{secret}".encode(), hashlib.sha256).digest()
    sign = quote_plus(base64.b64encode(code).decode("ascii"))
    return f"{url}{'&' if '?' in url else '?'}timestamp={at_ms}&sign={sign}"


def fault_of(status: int, body: bytes) -> str:
    """What an answer complains about; empty where the message was taken. Both answer 200 with an `errcode`."""
    if status != 200:
        return f"HTTP {status}"
    try:
        code = json.loads(body).get("errcode")
    except (ValueError, AttributeError):
        return "the answer is no JSON object"
    return "" if code == 0 else f"errcode {str(code)[:20]}"
