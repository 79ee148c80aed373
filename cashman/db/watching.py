"""A connection to PostgreSQL that is given up where its server has fallen silent.

A machine that hangs, or a server that is stopped by a signal, keeps its connections and answers nothing: without this
a request would wait for as long as its client does. A statement that only takes its time is told from that by
whether the server takes another connection meanwhile.
"""

from collections.abc import Generator
from time import monotonic
from typing import Any

import psycopg
from psycopg.errors import ConnectionTimeout

from cashman.limits import LOCK_WAIT_SECONDS_MAX


class Silent(psycopg.OperationalError):
    """The server has said nothing for so long, and takes no connection; what it was told may be done or not."""


class WatchedConnection(psycopg.Connection[Any]):
    """Like its parent, but nothing on it waits for a silent server."""

    parameters: dict[str, Any]
    """What it was made with."""

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **more: Any) -> Any:
        """What the driver waits with, whatever it waits for; here it is watched."""
        return super().wait(self._watched(gen), *arguments, **more)

    def _watched(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        heard = monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # nothing is ready, a few times a second, while there is nothing to hear
                if ready:
                    heard = monotonic()
                elif monotonic() - heard > LOCK_WAIT_SECONDS_MAX:
                    if self._is_silent() and not (ready := (yield wanted)):  # nor has anything come meanwhile
                        self.close()  # as where the server had gone: nobody else is given it
                        raise Silent("the server has fallen silent")
                    heard = monotonic()
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value

    def _is_silent(self) -> bool:
        """Whether the same server does not even take another connection."""
        there = {"host": self.info.host, "hostaddr": self.info.hostaddr or None, "port": self.info.port}
        try:
            psycopg.connect(**{**self.parameters, **there, "target_session_attrs": "any"}).close()
        except ConnectionTimeout:
            return True
        except psycopg.Error:
            pass  # also who is refused is answered
        return False


def connect(_dialect: Any, _record: Any, arguments: Any, parameters: dict[str, Any]) -> WatchedConnection:
    """For SQLAlchemy: a connection that is watched."""
    connection = WatchedConnection.connect(*arguments, **parameters)
    connection.parameters = dict(parameters)
    return connection
