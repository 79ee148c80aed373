"""Every rule a caller can break has one class, which says what a page needs to explain it."""

import re

import pytest

from cashman import errors
from cashman.errors import HttpProblem, Invalid, NotFound, Problem

PROBLEMS = sorted(Problem.__subclasses__(), key=lambda problem: problem.slug)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.__name__)
def test_a_problem_explains_itself(problem: type[Problem]) -> None:
    assert re.fullmatch("[a-z]+(-[a-z]+)*", problem.slug)
    assert problem.title.endswith(".")
    assert problem.explanation.endswith(".")
    if problem is not HttpProblem:
        assert 400 <= problem.status <= 599


def test_no_two_problems_share_a_page() -> None:
    assert len({problem.slug for problem in PROBLEMS}) == len(PROBLEMS) >= 15


def test_an_instance_says_what_happened_this_time() -> None:
    problem = Invalid("this time", {"amount": ["Not an amount."]}, {"Retry-After": "2"})
    assert (str(problem), problem.detail) == ("this time", "this time")
    assert (problem.errors, problem.headers) == ({"amount": ["Not an amount."]}, {"Retry-After": "2"})
    plain = NotFound()
    assert (str(plain), plain.detail, plain.errors, plain.headers) == (NotFound.title, None, None, {})


def test_a_page_shows_the_status_in_words() -> None:
    assert NotFound.status_text() == "404 Not Found"
    assert HttpProblem.status_text() == "4xx"


def test_a_wrong_setting_is_no_problem_of_a_caller() -> None:
    assert not issubclass(errors.ConfigurationError, Problem)
