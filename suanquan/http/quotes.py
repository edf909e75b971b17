"""`POST /v1/quotes`: what a run would cost, and who would pay, before it. Nothing is recorded."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from suanquan.http.auth import may
from suanquan.http.routers import api_router
from suanquan.http.routes import Name, Opened
from suanquan.use_cases.quote_usage import MODELS_MAX, parse_run, quote_usage

router = api_router()

Number = Annotated[str, Field(pattern=r"^[0-9]{1,16}(\.[0-9]{1,3})?$")]


class QuotedCards(BaseModel):
    """Cards of one model; the count with at most three decimals."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(min_length=1, max_length=64)]
    count: Number


class QuotedRun(BaseModel):
    """A run that is thought of."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "centre": "sj01",
                    "account": "startup1",
                    "accelerators": [{"model": "A100", "count": "8"}],
                    "start": "2026-11-28T09:00:00+08:00",
                    "seconds": "3600",
                }
            ]
        },
    )

    centre: Name
    account: Name
    accelerators: Annotated[list[QuotedCards], Field(min_length=1, max_length=MODELS_MAX)]
    start: Annotated[str, Field(description="RFC 3339", max_length=40)]
    seconds: Number
    voucher: Annotated[str | None, Field(min_length=1, max_length=64)] = None


@router.post("/v1/quotes", tags=["usage"], dependencies=[may("quote.ask")])
async def post_quote(run: QuotedRun, service: Opened) -> dict[str, Any]:
    """Price, compute, what each voucher would pay and self-pay: what the debit after the run will be."""
    cards = [f"{part.model}={part.count}" for part in run.accelerators]
    wanted = parse_run(run.centre, run.account, cards, run.start, run.seconds, run.voucher)
    return await quote_usage(service.journal, service.rules, wanted)
