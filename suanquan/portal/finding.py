"""One finding: what was pointed out on which evidence, who decided what about it, and the decision of whoever reviews it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError
from suanquan.access.policy import Reach
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal
from suanquan.http.routers import page_router
from suanquan.portal import frame
from suanquan.portal.check_text import TEXTS
from suanquan.portal.frame import language_of, or_failure, reading, service_of
from suanquan.portal.office import size_of
from suanquan.portal.work import said_of, status_for, to, typed_of
from suanquan.use_cases.findings import finding_object, review
from voucher.findings import State, Verdict

router = page_router()


@router.get("/office/findings/{finding}", dependencies=[may("finding.read")])
async def get_finding(finding: str, request: Request) -> Response:
    """A finding with its evidence and every decision on it."""
    return await or_failure(request, _finding(request, finding))


@router.post("/office/findings/{finding}", dependencies=[may("finding.decide")])
async def post_review(finding: str, request: Request) -> Response:
    """Decide it, or open it again; what stands against that is said, and the reason that was typed stays."""
    return await or_failure(request, _review(request, finding))


async def _finding(
    request: Request, finding: str, problem: str = "", typed: dict[str, str] | None = None, status: int = 200
) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            found = await finding_object(conn, finding[:64])
            size = await size_of(conn)
    states = (
        [one.value for one in State if one is not State.OPEN]
        if found["state"] == State.OPEN.value
        else [State.OPEN.value]
    )
    return frame.render(
        request, "office/finding.html", status=status, t=TEXTS[language_of(request)], stamp=str(len(found["reviews"])), found=found, size=size, states=states,
        able=who.reach("finding.decide") is Reach.EVERYTHING, problem=problem, typed=typed or {"state": "", "reason": ""},
        open_state=State.OPEN.value,
    )  # fmt: skip


async def _review(request: Request, finding: str) -> Response:
    service, who = service_of(request), await principal(request)
    typed = await typed_of(request, "state", "reason")
    try:
        await review(service.journal, finding[:64], Verdict(_state(typed["state"]), who.name, typed["reason"]))
    except DomainError as error:
        return await _finding(request, finding, said_of(request, error), typed, status_for(error))
    return to(request, f"/office/findings/{finding}")


def _state(text: str) -> State:
    found = next((one for one in State if one.value == text), None)
    if found is None:
        raise ServiceError("verdict-invalid", "请选择结论", "choose a decision")
    return found
