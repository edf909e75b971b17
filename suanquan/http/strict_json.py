"""JSON bodies read strictly: no repeated members and no floats, each told with what to write instead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from suanquan.errors import ServiceError


async def json_object(request: Request) -> dict[str, Any]:
    """The object of a request's body.

    Raises:
        ServiceError: `json-refused`.

    """
    try:
        value = _JSON.decode((await request.body()).decode())
    except (ValueError, RecursionError) as fault:
        raise _refused(f"不是 UTF-8 的 JSON：{fault}", f"is not JSON in UTF-8: {fault}") from None
    if not isinstance(value, dict):
        raise _refused("应为一个 JSON 对象", "must be a JSON object")
    return value


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise _refused(f"“{name[:60]}”写了两次", f"`{name[:60]}` stands twice")
        members[name] = value
    return members


def _no_float(text: str) -> Any:
    raise _refused(f"小数 {text[:40]} 应写成带引号的文字", f"{text[:40]} is a float: write decimals in quotes")


_JSON = json.JSONDecoder(object_pairs_hook=_once, parse_float=_no_float, parse_constant=_no_float)


def _refused(zh: str, en: str) -> ServiceError:
    return ServiceError("json-refused", f"请求体{zh}", f"the body {en}")
