"""Channels on a page: where one's company, centre or office is told things besides the inbox; registered, tried, ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError, Kind
from suanquan.access.policy import Reach
from suanquan.db import notices
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal
from suanquan.http.routers import page_router
from suanquan.notices.model import Way
from suanquan.portal import frame
from suanquan.portal.channels_text import TEXTS
from suanquan.portal.frame import language_of, or_failure, reading, service_of
from suanquan.portal.inbox_page import CHOSEN
from suanquan.portal.work import said_of, status_for, to
from suanquan.use_cases import channels
from suanquan.use_cases.channels import NewChannel, audience_of

WAYS = (Way.WEBHOOK, Way.WECOM, Way.DINGTALK)
URL_MIN, URL_MAX, SECRET_MAX, LATELY, DIGITS = 8, 2_000, 200, 5, 18
router = page_router()


@router.get("/channels", dependencies=[may("channel.list", scoped=True)])
async def get_channels(request: Request) -> Response:
    """Own channels with what was delivered lately, and a form for another."""
    return await or_failure(request, _page(request))


@router.post("/channels", dependencies=[may("channel.act", scoped=True)])
async def post_channel(request: Request) -> Response:
    """Register one; the secret of a webhook is shown this once."""
    return await or_failure(request, _add(request))


@router.post("/channels/{channel}/{act}", dependencies=[may("channel.act", scoped=True)])
async def post_act(channel: str, act: str, request: Request) -> Response:
    """End a channel, send a test over it, or a delivery again."""
    return await or_failure(request, _act(request, channel, act))


async def _page(
    request: Request, problem: str = "", typed: Mapping[str, Any] | None = None, status: int = 200, secret: str = "",
) -> Response:  # fmt: skip
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            found = await notices.channels_of(conn, audience_of(who), every=True)
            sent = {one.number: await notices.newest_deliveries(conn, one.number, LATELY) for one in found}
    return frame.render(
        request, "work/channels.html", status=status, t=TEXTS[language_of(request)], headers={"Cache-Control": "no-store"}, found=found, sent=sent,
        ways=[one.value for one in WAYS], kinds=[kind.value for kind in CHOSEN], problem=problem, secret=secret, typed=defaultdict(str, typed or {}),
        able=who.reach("channel.act") is not Reach.NOTHING, tested=request.query_params.get("tested") == "1",
    )  # fmt: skip


async def _add(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    form = await request.form(max_files=0, max_fields=100)
    typed: dict[str, Any] = {name: str(form.get(name, "")).strip() for name in ("way", "url", "sign_secret")}
    typed["kinds"] = [str(one)[:40] for one in form.getlist("kinds")]
    try:
        _require_form(typed)
        asked = NewChannel(typed["way"], typed["url"], typed["kinds"], typed["sign_secret"])
        made = await channels.add_channel(service, who, asked)
    except DomainError as error:
        return await _page(request, said_of(request, error), typed, status_for(error))
    return await _page(request, status=201, secret=made["secret"]) if "secret" in made else to(request, "/channels")


def _require_form(typed: Mapping[str, str]) -> None:
    """Refuse what is no channel.

    Raises:
        ServiceError: `channel-malformed`.

    """
    secret = typed["sign_secret"]
    if typed["way"] not in {one.value for one in WAYS}:
        zh, en = "请选择方式", "choose a way"
    elif not URL_MIN <= len(typed["url"]) <= URL_MAX:
        zh = f"地址应为 {URL_MIN} 至 {URL_MAX} 个字符，如 https://example.cn/hook"
        en = f"an address has {URL_MIN} to {URL_MAX} characters, such as https://example.cn/hook"
    elif len(secret) > SECRET_MAX or not all("!" <= one <= "~" for one in secret):
        zh, en = f"密钥至多 {SECRET_MAX} 个可见字符", f"a secret has at most {SECRET_MAX} visible characters"
    else:
        return
    raise ServiceError("channel-malformed", zh, en)


async def _act(request: Request, channel: str, act: str) -> Response:
    service, who = service_of(request), await principal(request)
    form = await request.form(max_files=0, max_fields=8)
    number, delivery = (
        int(one) if one.isdecimal() and len(one) <= DIGITS else -1 for one in (channel, str(form.get("delivery", "")))
    )
    match act:
        case "end":
            await channels.end_channel(service, who, number)
        case "test":
            await channels.test_channel(service, who, number)
            return to(request, "/channels", tested="1")
        case "again":
            await channels.send_again(service, who, number, delivery)
        case _:
            zh, en = f"没有“{act[:20]}”这种办理", f"there is no act {act[:20]!r}"
            raise ServiceError("act-unknown", zh, en, kind=Kind.NOT_FOUND)
    return to(request, "/channels")
