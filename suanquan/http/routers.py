"""How routes are gathered: each is described once, when its module is loaded, and every application serves the same ones.

FastAPI's `include_router` describes each route anew for each application, on its first request: that took a tenth of a second
and more. What an application would have added to the routes it includes stands here instead.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from suanquan.http import problem


def api_router(prefix: str = "", tags: list[Any] | None = None) -> APIRouter:
    """Routes of the API; what one refuses is a problem document."""
    return APIRouter(prefix=prefix, tags=tags, responses={"4XX": problem.PROBLEM, 503: problem.PROBLEM})


def page_router() -> APIRouter:
    """Pages of the portal, which are no part of the API's description."""
    return APIRouter(include_in_schema=False)
