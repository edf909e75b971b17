"""A run of the checks by a service at work: looking takes long, so that a process of its own does it, and this one records."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from ledger.errors import Kind
from suanquan.errors import ServiceError
from suanquan.service import Service
from suanquan.use_cases.findings import from_json, record

_running: set[int] = set()


async def run_checks(service: Service) -> dict[str, Any]:
    """Look, record, and say how many findings are new.

    Raises:
        ServiceError: `checks-running`, or `checks-failed` with what the process said.

    """
    if id(service) in _running:
        raise ServiceError("checks-running", "核查正在进行", "a run of the checks is under way", kind=Kind.CONFLICT)
    _running.add(id(service))
    try:
        return await record(service.journal, from_json(await _looked(service)))
    finally:
        _running.discard(id(service))


async def _looked(service: Service) -> dict[str, Any]:
    command = (sys.executable, "-m", "suanquan", "findings", "look", "--home", str(service.home.path), "--json")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        answer, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        why = told.decode("utf-8", "replace")[-500:]
        raise ServiceError(
            "checks-failed", f"核查未完成：{why}", f"the checks were not run: {why}", kind=Kind.UNAVAILABLE
        )
    found: dict[str, Any] = json.loads(answer)
    return found
