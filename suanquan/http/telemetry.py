"""`POST /v1/usage/telemetry`: a centre's agent tells what its monitors saw of cards, hour by hour. Evidence, never billed."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from metering.instants import parse_instant
from metering.telemetry import HOUR_US, DeviceRun, PoolHour
from metering.wire import EARLIEST_US, SKEW_US, TEXT_MAX
from suanquan.errors import ServiceError
from suanquan.http.auth import by_agents
from suanquan.http.usage import NONCE_KEPT_US, AgentKeys, signed_by
from suanquan.service import Service
from suanquan.use_cases.telemetry import Report, take_report

HOURS_MAX = 5_000
RUNS_MAX = 20_000
MEASURE_MAX = 2**53
STEP_S_MAX = 3_600

Text = Annotated[str, Meta(max_length=TEXT_MAX)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Measure = Annotated[int, Meta(ge=0, le=MEASURE_MAX)]
Instant = Annotated[str, Meta(max_length=40)]


class _Hour(msgspec.Struct, forbid_unknown_fields=True):
    hour: Instant
    model: Word
    busy_ms: Measure
    seen_ms: Measure
    energy_mj: Measure


class _Run(msgspec.Struct, forbid_unknown_fields=True):
    device: Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
    model: Word
    account: Text
    job: Text
    start: Instant
    end: Instant
    busy_ms: Measure
    seen_ms: Measure


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    source: Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
    step_s: Annotated[int, Meta(ge=1, le=STEP_S_MAX)]
    hours: Annotated[list[_Hour], Meta(max_length=HOURS_MAX)]
    runs: Annotated[list[_Run], Meta(max_length=RUNS_MAX)]


@by_agents("usage.report")
async def post_telemetry(request: Request) -> Response:
    """Keep a signed report of hours of pools and of runs of devices."""
    service: Service = request.app.state.service
    keys: AgentKeys = request.app.state.agent_keys
    body = await request.body()
    signed = await signed_by(request, sha256(body).digest())
    report = _report(body, keys.centre(signed.keyid), signed.keyid, signed.nonce, service.now_us)
    answer = await service.journal.transact(lambda tx: take_report(tx, service.catalog, report))
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _report(body: bytes, centre: str, kid: str, nonce: str, now_us: int) -> Report:
    try:
        read = msgspec.json.decode(body, type=_Body)
        hours = [_hour(one, now_us) for one in read.hours]
        runs = [_run(one, now_us) for one in read.runs]
    except (ValueError, RecursionError) as fault:
        raise ServiceError(
            "telemetry-malformed", f"监控报告有误：{fault}", f"the report of telemetry is wrong: {fault}"
        ) from None
    if not (read.source + "".join(run.device + run.account + run.job for run in runs)).isprintable():
        raise ServiceError("telemetry-malformed", "含控制字符", "it has control characters")
    gap_us = 2 * read.step_s * 1_000_000
    return Report(centre, kid, nonce, now_us + NONCE_KEPT_US, read.source, gap_us, hours, runs)


def _hour(one: _Hour, now_us: int) -> PoolHour:
    at_us = _instant(one.hour, now_us)
    if at_us % HOUR_US or one.busy_ms > one.seen_ms:
        raise ValueError(f"{one.hour}: no whole hour, or busy for longer than it was seen")
    return PoolHour(one.model, at_us, one.busy_ms, one.seen_ms, one.energy_mj)


def _run(one: _Run, now_us: int) -> DeviceRun:
    start_us, end_us = _instant(one.start, now_us), _instant(one.end, now_us)
    if start_us >= end_us or one.busy_ms > one.seen_ms:
        raise ValueError(f"{one.device} {one.start}: it ends before it begins, or is busy for longer than it was seen")
    return DeviceRun(one.device, start_us, one.account, one.job, end_us, one.model, one.busy_ms, one.seen_ms)


def _instant(text: str, now_us: int) -> int:
    at_us = parse_instant(text)
    if not EARLIEST_US <= at_us <= now_us + SKEW_US + HOUR_US:
        raise ValueError(f"{text}: not a time of which a monitor can know now")
    return at_us
