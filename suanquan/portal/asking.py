"""The page that asks an applicant the fewest questions that settle most clauses. Answers stand in the URL; nothing is stored."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from suanquan.errors import ServiceError
from suanquan.http.auth import may
from suanquan.http.questions import facts_of_query
from suanquan.http.routers import page_router
from suanquan.portal.frame import language_of, link, or_failure, render, service_of
from suanquan.use_cases.subsidies import day_of

router = page_router()

_RESERVED = {"lang", "skip"}
ANSWERS_MAX = 100


@router.get("/subsidies", dependencies=[may("rules.ask")])
async def get_subsidies(request: Request) -> Response:
    """The next question, and where each clause stands."""
    return await or_failure(request, _ask(request))


async def _ask(request: Request) -> Response:
    service = service_of(request)
    pairs = [pair for pair in request.query_params.multi_items() if pair[0] not in _RESERVED][:ANSWERS_MAX]
    skipped = [name for name in request.query_params.getlist("skip") if name in service.subsidies.policies.facts]
    answers, facts, problem, tried = dict(pairs), {}, "", ""
    try:
        facts = facts_of_query(service.subsidies, pairs)
    except ServiceError as error:
        finding = error.findings[0] if error.findings else None
        problem = (finding.en if language_of(request) == "en" else finding.zh) if finding else error.zh
        tried = answers.popitem()[1] if answers else ""  # the newest stands last; what was answered before it stays
        facts = facts_of_query(service.subsidies, list(answers.items()))
    asked = service.subsidies.ask(service.subsidies.clauses([]), facts, day_of(service.now_us), skipped)
    question = asked["next"]
    skip = link(request, "/subsidies", **answers)
    if question:
        more = "&".join(f"skip={name}" for name in [*skipped, question["fact"]])
        skip += ("&" if "?" in skip else "?") + more
    return render(
        request,
        "subsidies.html",
        status=422 if problem else 200,
        asked=question,
        clauses=asked["clauses"],
        answers=answers,
        skipped=skipped,
        skip_link=skip,
        problem=problem,
        tried=tried,
    )
