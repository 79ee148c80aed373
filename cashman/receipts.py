"""What a write is to come to, and what it came to: plans, outcomes, receipts, and the answers that are kept."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from cashman.chart import AccountRow, Chart
from cashman.journal import Head
from cashman.queries import State


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it is kept for whoever repeats the request."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a write came to."""

    states: Sequence[State]
    """The transactions as they stand after it, the one that was asked for first; none where there was none, or where
    an earlier answer is given again."""
    head: Head
    """The journal's head: the entry of this change, or the newest one where nothing had to change."""
    chart: Chart | None = None
    """The names that go with the states."""
    account: AccountRow | None = None
    """The account that the change was about."""
    answer: Answer | None = None
    """What is answered: for a keyed request it is made once, and kept."""
    replayed: bool = False

    @property
    def state(self) -> State:
        """The transaction that was asked for."""
        return self.states[0]


@dataclass(slots=True)
class Planned:
    """One revision of one transaction, as it is to be."""

    kind: str
    state: State
    with_words: bool = False
    opens: str | None = None
    """The path of its category, where that is new."""
    asked: bytes | None = None
    """A hash of the names that were asked for, where the request may come again under an id of the client's."""


@dataclass(slots=True)
class Outcome:
    """What the changes so far come to, not yet written; a copy of it is what a failed change goes back to."""

    chart: Chart
    states: dict[str, State]
    touched: dict[str, None] = field(default_factory=dict)
    firsts: dict[str, tuple[State, Head]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    """By group the ids of its members, in the order in which they were booked."""
    before_void: dict[str, str] = field(default_factory=dict)
    """By transaction the status that it had before it was void, where that was in this batch."""
    revisions: list[dict[str, Any]] = field(default_factory=list)
    turnovers: dict[str, int] = field(default_factory=dict)
    redacted: dict[str, int] = field(default_factory=dict)
    """By transaction, the sequence number before which its words go."""

    def copy(self) -> "Outcome":
        """A copy that later changes leave alone."""
        return Outcome(*(copy(getattr(self, name)) for name in self.__slots__))
