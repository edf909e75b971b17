"""What pages on which people act have in common: their texts, what was typed, what stands against an act, and who did what.

Who did something is read off the facts that the log commits to, each with its entry; nothing of it is laid out by hand.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ledger.errors import DomainError, Kind
from suanquan.errors import ServiceError
from suanquan.http.problem import status_of
from suanquan.portal import frame, kept_forms
from suanquan.portal.forms import FIELDS_MAX
from suanquan.portal.frame import language_of, link
from suanquan.portal.stamps import StaleError
from suanquan.portal.work_text import TEXTS

TYPED_MAX = 2_000


def render(request: Request, page: str, **values: Any) -> Response:
    """A page with the texts of these pages."""
    if "typed" in values:
        values["typed"] = defaultdict(str, values["typed"])  # a field that nobody typed into is empty
    return frame.render(request, f"work/{page}", t=TEXTS[language_of(request)], **values)


async def typed_of(request: Request, *names: str) -> dict[str, str]:
    """What was typed into the fields of these names, without spaces around it."""
    form = await request.form(max_files=0, max_fields=FIELDS_MAX)
    return {name: str(form.get(name, "")).strip()[:TYPED_MAX] for name in names}


def said_of(request: Request, error: DomainError) -> str:
    """What stands against an act, in the reader's language, with each finding."""
    texts = [(error.zh, error.en), *((one.zh, one.en) for one in error.findings if len(error.findings) > 1)]
    return "; ".join(dict.fromkeys(pair[language_of(request) == "en"] for pair in texts))


def changed(now: str) -> ServiceError:
    """The refusal of a row that is not as it was shown."""
    if not now:
        return ServiceError("row-gone", "没有这一条", "there is no such row", kind=Kind.NOT_FOUND)
    return ServiceError(
        "row-changed",
        "您看过之后，这一件已被他人办理或有了新的内容，没有办理；请重新查看",
        "since it was shown somebody acted on it, or it has new content; nothing was done to it. Look at it again",
        kind=Kind.CONFLICT,
    )


def status_for(error: DomainError) -> int:
    """Status of a page that shows an act which was refused; what could not be read, or came too late, has a page of its own.

    Raises:
        DomainError: of kind UNAVAILABLE or `page-stale`, as it is.

    """
    if error.kind is Kind.UNAVAILABLE or isinstance(error, StaleError):
        raise error
    return status_of(error)


def with_form(request: Request, page: Response, error: DomainError) -> Response:
    """The page of an act that was refused, where it still has the act's form with what was typed.

    Raises:
        DomainError: the refusal, where the form is gone: it has a page of its own that shows what was typed.

    """
    if request.url.path not in kept_forms.actions_in(bytes(page.body).decode()):
        raise error
    return page


def to(request: Request, path: str, **more: str) -> Response:
    """On to a page, after an act: loading it again does not act again."""
    return RedirectResponse(link(request, path, **more), 303)
