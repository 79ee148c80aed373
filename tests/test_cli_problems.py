"""What a command says of what it could not do, and its exit status."""

import pytest

from cashman.cli.problems import BROKEN, CANNOT, fields, status_of, tell
from cashman.cli.service import Refused, Unreachable
from cashman.errors import ConfigurationError, NotFound


@pytest.mark.parametrize("status", [400, 404, 409, 410, 412, 422])
def test_a_broken_rule_is_1(status: int) -> None:
    assert status_of(Refused(status, {"type": "/problems/x"})) == BROKEN == 1


@pytest.mark.parametrize("status", [401, 403, 405, 413, 415, 429, 500, 502, 503])
def test_what_cannot_be_done_at_all_is_2(status: int) -> None:
    assert status_of(Refused(status, {"type": "/problems/x"})) == CANNOT == 2


def test_a_file_that_cannot_be_read_is_2() -> None:
    assert status_of(Refused(422, {"type": "/problems/unreadable-file"})) == 2


def test_what_no_service_was_asked_for_is_2() -> None:
    for error in (Unreachable("x"), ConfigurationError("x"), NotFound()):
        assert status_of(error) == 2


def test_it_is_one_line_and_one_more_for_each_field(capsys: pytest.CaptureFixture[str]) -> None:
    errors = {"amount": ["Too much.", "Too odd."], "lines": {"0": {"amount": ["Missing."]}, "2": "Wrong."}}
    assert tell(Refused(422, {"title": "Some fields break a rule.", "errors": errors}), "a.csv: ") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "cashman: a.csv: Some fields break a rule.",
        "  amount: Too much.",
        "  amount: Too odd.",
        "  lines.0.amount: Missing.",
        "  lines.2: Wrong.",
    ]


def test_the_detail_goes_before_the_title(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Refused(409, {"title": "The books are closed for that day.", "detail": "The books are closed until today."}))
    tell(NotFound("There is no such thing."))
    tell(Refused(418, {}))
    assert capsys.readouterr().err.splitlines() == [
        "cashman: The books are closed until today.",
        "cashman: There is no such thing.",
        "cashman: the service answers 418",
    ]


def test_what_a_service_says_tells_the_terminal_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Refused(422, {"detail": "\x1b[2Jgone", "errors": {"\x1b": ["\x07\n"]}}))
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\x07" not in said
    assert len(said.splitlines()) == 2


def test_errors_in_another_form_are_left_out() -> None:
    assert Refused(422, {"errors": ["x"]}).errors == {}
    assert list(fields({})) == []
