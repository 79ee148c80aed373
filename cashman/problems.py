"""RFC 9457 problem details: the only place where an error becomes a response, and the pages that explain them.

It is also where what a client is told is translated: whoever made a message may have served another request.
"""

import logging
import re
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response
from markupsafe import Markup, escape
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from cashman import cookies, current, errors
from cashman.answers import encode_json
from cashman.contracts import A_PAGE, NO_STORE, contract
from cashman.db import unavailable
from cashman.errors import Problem
from cashman.language import asked_for, of_page, page, spoken, told
from cashman.translations import translate

log = logging.getLogger(__name__)

bp = Blueprint("problems", __name__, url_prefix="/problems")

BY_SLUG: dict[str, type[Problem]] = {problem.slug: problem for problem in Problem.__subclasses__()}

_BY_STATUS: dict[int, type[Problem]] = {
    400: errors.BadRequest,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.TooLarge,
    415: errors.UnsupportedMediaType,
    500: errors.ServiceFault,
}


def init_app(app: Flask) -> None:
    """Answer every error of an app with problem details."""
    app.register_blueprint(bp)
    app.add_template_filter(_code, "code")
    app.register_error_handler(Problem, render)
    app.register_error_handler(ValidationError, render_validation_error)
    app.register_error_handler(HTTPException, render_http_exception)
    app.register_error_handler(errors.ConfigurationError, render_misconfigured)
    app.register_error_handler(Exception, render_fault)


def render(problem: Problem) -> Response:
    """A problem as application/problem+json, in the language of this request; to who looks at pages as a page."""
    if cookies.looks_at_pages():
        return _render_page(problem)
    language = asked_for()
    title = translate(problem.title, language)
    document = {"type": f"/problems/{problem.slug}", "title": title, "status": problem.status}
    if problem.detail is not None:
        document["detail"] = translate(problem.detail, language)
    if problem.errors is not None:
        document["errors"] = told(problem.errors, language)
    response = Response(encode_json(document), problem.status, mimetype="application/problem+json")
    response.headers.extend(problem.headers)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response.headers.setdefault("WWW-Authenticate", "Bearer")  # RFC 9110, 15.5.2
    return spoken(response, language)


def _render_page(problem: Problem) -> Response:
    """A problem to look at; who is nobody yet is sent to where one signs in, and from there back."""
    if problem.status == HTTPStatus.UNAUTHORIZED:
        founded = current.access().founded
        response = Response(status=303, headers={"Location": cookies.way_in(founded), **NO_STORE})
        if founded:
            cookies.drop(response)
        response.vary.update(("Accept", "Cookie"))
        return response
    response = page("refused.html", problem=problem, errors=told(problem.errors or {}, of_page()))
    response.status_code = problem.status
    response.headers.extend(problem.headers)
    response.vary.add("Accept")
    return response


def render_validation_error(error: ValidationError) -> Response:
    """What a schema refuses."""
    return render(errors.Invalid(errors=error.normalized_messages()))


def render_http_exception(error: HTTPException) -> Any:
    """What Flask and Werkzeug refuse, with the headers that they would have sent, such as Allow."""
    response = error.get_response()
    if response.status_code < 400:
        return response  # a redirect
    problem = _BY_STATUS.get(response.status_code, errors.HttpProblem)()
    problem.status = response.status_code  # type: ignore[misc]
    if isinstance(problem, errors.HttpProblem):
        problem.detail = error.description
    body_headers = {"content-type", "content-length"}
    problem.headers = {name: value for name, value in response.headers if name.lower() not in body_headers}
    return render(problem)


def render_misconfigured(error: errors.ConfigurationError) -> Response:
    """What would have stopped the start, and came later: somebody has to mend it, and no restart is needed then."""
    log.error("the books cannot be used: %s", error)
    return render(unavailable())


def render_fault(error: Exception) -> Response:
    """A mistake of ours: told in the log, and to the client without its insides."""
    log.error("an unforeseen error", exc_info=error)
    return render(errors.ServiceFault())


def _code(text: str) -> Markup:
    """What stands between backticks as code."""
    return Markup(re.sub("`(.+?)`", r"<code>\1</code>", str(escape(text))))


@bp.get("")
@contract(needs="anyone", answers={200: "The errors, each with its page."}, gives=A_PAGE)
def get_problems() -> Response:
    """What can go wrong, and what each error means."""
    return page("problems.html", problems=sorted(BY_SLUG.values(), key=lambda p: (p.status_text(), p.slug)))


@bp.get("/<slug>")
@contract(needs="anyone", answers={200: "The meaning of one error."}, gives=A_PAGE, problems=(errors.NotFound,))
def get_problem(slug: str) -> Response:
    """What one error means: the page that a problem's `type` leads to."""
    if slug not in BY_SLUG:
        raise errors.NotFound()
    return page("problem.html", problem=BY_SLUG[slug])
