"""How a database is: asked beside everything else, and given up in time where it does not answer."""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cashman.limits import PROBE_FRESH_SECONDS, PROBE_SECONDS_MAX

_POLL_SECONDS: Final = 0.003


@dataclass(frozen=True, slots=True)
class Found:
    """What a database says of itself."""

    revision: str | None
    """The schema's; None where there are no tables yet."""
    writable: bool
    head: int | None = None
    """The newest sequence in the journal of the own ledger."""
    free_bytes: int | None = None
    """What is left beside it, where its files are ours."""
    free_files: int | None = None
    """How many more files can be made there, where the file system counts them."""


class _Asked:
    """One question that is under way, or was."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.found: Found | None = None
        self.error: BaseException | None = None
        self.done = False
        self.give_up: Callable[[], Any] = lambda: None


class Probe:
    """Asks one question at a time; an answer is good for a moment, so nobody can ask too often.

    `native` is for what blocks the process: it is asked in a thread of its own. What waits together with gevent's loop
    has to stay on it.
    """

    def __init__(self, ask: Callable[[], Found], *, native: bool) -> None:
        self._ask = ask
        self._native = native
        self._asked: _Asked | None = None

    def __call__(self) -> Found:
        """What was found; raises what it met, or TimeoutError."""
        asked = self._asked
        if asked is None or (asked.done and time.monotonic() - asked.began > PROBE_FRESH_SECONDS):
            asked = self._asked = _Asked()
            self._begin(asked)
        while not asked.done:
            if time.monotonic() - asked.began > PROBE_SECONDS_MAX:
                asked.give_up()
                raise TimeoutError
            time.sleep(_POLL_SECONDS)
        if asked.error is not None:
            raise asked.error
        assert asked.found is not None
        return asked.found

    def _begin(self, asked: _Asked) -> None:
        run = partial(self._run, asked)
        monkey = sys.modules.get("gevent.monkey")
        if monkey is None or not monkey.is_module_patched("threading"):
            threading.Thread(target=run, daemon=True).start()
            return
        import gevent

        if self._native:
            gevent.get_hub().threadpool.spawn(run)
        else:
            asked.give_up = partial(gevent.spawn(run).kill, block=False)

    def _run(self, asked: _Asked) -> None:
        try:
            asked.found = self._ask()
        except BaseException as error:
            asked.error = error.with_traceback(None)
        finally:
            asked.done = True
