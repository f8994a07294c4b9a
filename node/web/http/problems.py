"""Answers of requests that fail: a page for browsers, RFC 9457 problem details for programs."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse, Response

from node.core.errors import Retryable
from node.web.pages import filled

_TYPE: Final = "application/problem+json"
_NAMED: Final = 5  # mistakes of one request


def problem(
    headers: Headers, status: int, detail: str, more: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request that fails.

    Args:
        headers: of the request; a browser gets a page.
        status: of HTTP.
        detail: a sentence with what to do; never text of a data set.
        more: headers of the answer.
    """
    title = _title(status)
    if wants_page(headers):
        page = filled("message.html", title=title, detail=detail)
        return Response(page, status, dict(more or {}), "text/html; charset=utf-8")
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(content, status, dict(more or {}), _TYPE)


def wants_page(headers: Headers) -> bool:
    """Whether a request is one of a browser that shows a page, and not of a program."""
    accepted = headers.get("accept", "").lower()
    return "text/html" in accepted and "json" not in accepted


def add_handlers(app: FastAPI) -> None:
    """Let all errors that routes raise be answered so."""
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Retryable, _not_now)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _refused(request: Request, error: Exception) -> Response:
    status: int = getattr(error, "status_code", 500)
    detail: Any = getattr(error, "detail", "")
    sentence = detail if isinstance(detail, str) else str(detail)
    if sentence == _title(status):
        sentence = _SENTENCES.get(status, sentence)
    return problem(request.headers, status, sentence, getattr(error, "headers", None))


_SENTENCES: Final = {
    404: "there is nothing at this address",
    405: "this address does not take this method",
}


def _invalid(request: Request, error: Exception) -> Response:
    """Names the parameters that are wrong, and not their values, which may name a patient."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    said = [f"{_place(each)}: {each.get('msg', 'wrong')}" for each in found[:_NAMED]]
    return problem(request.headers, 422, "; ".join(said) or "the request is not valid")


def _place(mistake: Mapping[str, Any]) -> str:
    where = [str(part) for part in mistake.get("loc", ())]
    return ".".join(where[1:]) or ".".join(where)


def _not_now(request: Request, error: Exception) -> Response:
    return problem(request.headers, 503, str(error))
