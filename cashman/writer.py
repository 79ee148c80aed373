"""Group commit: many waiting requests, one durable commit.

A request hands over its change and waits. The first to come commits all that have gathered by then as one
transaction; while it commits, the next batch gathers, and one of those takes over. So there is no thread to
start, to fork or to stop, and one caller alone (a test, the command line) simply commits its own change.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from cashman.limits import BATCH_CHANGES_MAX, GATHER_SECONDS

Change = TypeVar("Change")
Outcome = TypeVar("Outcome")

Around = Callable[[int, Callable[[], Sequence[Outcome | Exception]]], Sequence[Outcome | Exception]]
"""Runs a commit of so many changes, and gives what it gives."""


def _plainly(_changes: int, commit: Callable[[], Sequence[Outcome | Exception]]) -> Sequence[Outcome | Exception]:
    return commit()


class _Waiting(Generic[Change, Outcome]):
    """One request's change, on its way."""

    __slots__ = ("change", "error", "leads", "outcome", "woken")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.leads = False
        self.woken = threading.Event()


class Writer(Generic[Change, Outcome]):
    """Commits changes in batches through `commit`, which gives an outcome or an exception for each of them."""

    def __init__(self, commit: Callable[[Sequence[Change]], Sequence[Outcome | Exception]]) -> None:
        self._commit = commit
        self.around: Around[Outcome] = _plainly
        """What stands around each commit, to count it or to time it."""
        self._lock = threading.Lock()
        self._gathered: list[_Waiting[Change, Outcome]] = []
        self._led = False
        self._began: float | None = None
        self._in_company = False

    def surround(self, around: "Around[Outcome]") -> None:
        """Put something more around each commit."""
        inner = self.around
        self.around = lambda changes, commit: around(changes, lambda: inner(changes, commit))

    @property
    def waiting(self) -> int:
        """How many changes have gathered for the next commit."""
        return len(self._gathered)

    @property
    def seconds(self) -> float:
        """How long the commit that is under way has taken by now; 0 where there is none."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def submit(self, change: Change) -> Outcome:
        """Commit the change, in whatever company; returns its outcome, or raises its error."""
        waiting: _Waiting[Change, Outcome] = _Waiting(change)
        with self._lock:
            self._gathered.append(waiting)
            waiting.leads = not self._led
            self._led = True
        try:
            if not waiting.leads:
                waiting.woken.wait()
            if waiting.leads:
                self._lead()
        except BaseException:  # whoever waited is ended, as when the server stops
            self._withdraw(waiting)
            raise
        if waiting.error is not None:
            raise waiting.error
        return waiting.outcome  # type: ignore[return-value]  # set together with the wake-up

    def _lead(self) -> None:
        """Commit the batch that has gathered, which holds the caller's own change, and hand the lead on."""
        if self._in_company:
            # Where many write, a larger batch is worth a moment: what a commit costs beside its changes is shared.
            time.sleep(GATHER_SECONDS)
        with self._lock:
            batch, self._gathered = self._gathered[:BATCH_CHANGES_MAX], self._gathered[BATCH_CHANGES_MAX:]
        self._in_company = len(batch) > 1
        self._began = time.monotonic()
        try:
            changes = [waiting.change for waiting in batch]
            outcomes = self.around(len(changes), lambda: self._commit(changes))
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    waiting.error = outcome
                else:
                    waiting.outcome = outcome
        except BaseException as error:
            for waiting in batch:
                waiting.error = error
        finally:
            self._began = None
            with self._lock:
                self._hand_on()
            for waiting in batch:
                waiting.woken.set()

    def _withdraw(self, waiting: _Waiting[Change, Outcome]) -> None:
        """Take a change back that no batch has taken yet, and the lead with it."""
        with self._lock:
            if waiting in self._gathered:
                self._gathered.remove(waiting)
                if waiting.leads:
                    self._hand_on()

    def _hand_on(self) -> None:
        """Let the next in line lead, if there is one; the lock is held."""
        if self._gathered:
            successor = self._gathered[0]
            successor.leads = True
            successor.woken.set()
        else:
            self._led = False
