"""How gunicorn serves Cashman. The master imports none of it but the form of its log; the workers do, when forked."""

import contextlib
import fcntl
import gc
import logging
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

from gunicorn import glogging

# bootstrap.sh has checked that both are whole numbers.
bind = f"0.0.0.0:{os.environ.get('PORT', '5000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))

# Requests wait together for one durable commit; greenlets make the waiting cheap.
worker_class = "gevent"
# The C parser where it is installed, else the one in Python.
http_parser = "auto"
preload_app = False

# A worker whose main loop shows no life for so many seconds is replaced. What blocks runs off the loop.
timeout = 30
# Running requests may end; after this the rest is cut off, before `docker stop` kills at 10 s.
graceful_timeout = 8
# Idle connections, and clients that do not finish their headers, are closed after this many seconds.
# A stop waits for idle connections, too.
keepalive = 3
worker_connections = 4000

# Room for long filters, and a bound on everything that is parsed before the service sees it.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

# Nobody can say that a request came by https, or set its path, behind the service's back: which proxies are
# believed is CASHMAN_TRUSTED_PROXIES alone (cashman/proxy.py). By itself gunicorn would believe this machine, whom
# the environment names in FORWARDED_ALLOW_IPS, and whoever comes through a socket file.
forwarded_allow_ips = ""
secure_scheme_headers = {}
forwarder_headers = ""

# A worker shows life by touching a file; in memory, because a slow disk would look like a dead worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# It would be a socket in the home directory, which a container may not have.
control_socket_disable = True


MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
METRICS_PREFIX = "cashman-metrics-"


class logger_class(glogging.Logger):  # noqa: N801  gunicorn's name for it
    """gunicorn's own log, in the form that CASHMAN_LOG asks for, and without what a client wrote."""

    def setup(self, cfg):
        super().setup(cfg)
        from cashman.observability import logs

        if logs.style_of(os.environ.get("CASHMAN_LOG")) == "json":
            for handler in self.error_log.handlers:
                handler.setFormatter(logs.JsonFormatter())

    def warning(self, msg, *args, **kwargs):
        if msg.startswith("Invalid request from ip="):
            msg, args = "%s", (msg.partition(": ")[0],)  # what follows quotes the request, tokens and all
        super().warning(msg, *args, **kwargs)

    def exception(self, msg, *args, **kwargs):
        if msg.startswith("Error handling request"):
            msg, args = "Error handling a request", ()  # what follows is the path with its query
        super().exception(msg, *args, **kwargs)


def on_starting(server):
    """Make the folder in which the workers count together, before there are any; in memory, where that can be."""
    _remove_old_metrics()
    try:
        folder = tempfile.mkdtemp(prefix=METRICS_PREFIX, dir=MEMORY)
    except OSError as error:
        server.log.warning("Each worker counts alone, as there is no folder for /metrics: %s", error)
        return
    # Whoever comes next removes the folder once this lock is gone, however we end.
    server.cashman_metrics = (pathlib.Path(folder) / "lock").open("w")
    fcntl.flock(server.cashman_metrics, fcntl.LOCK_EX)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder


def _remove_old_metrics():
    for folder in pathlib.Path(MEMORY).glob(f"{METRICS_PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


def child_exit(server, worker):
    """Forget what a worker had under way; what it has counted stays."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for path in pathlib.Path(folder).glob(f"gauge_live*_{worker.pid}.db") if folder else ():
        path.unlink(missing_ok=True)


def on_exit(server):
    """Take the folder away; after `kill -9` the next start does."""
    if hasattr(server, "cashman_metrics"):
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def _stop_the_start(worker, error):
    """Tell what setting is wrong, once and in one line.

    Only the first worker of all stops the server. One that takes another's place later does no such thing,
    because its neighbours still serve.
    """
    if worker.age > 1:
        return
    print(f"cashman: {error}", file=sys.stderr, flush=True)
    sys.exit(4)  # gunicorn's sign for an app that no worker can load


def post_fork(server, worker):
    """Let a worker be stopped before it is up, and stop the start where the app refuses its settings."""
    # Until gunicorn sets a worker's own handlers it has the master's, which would swallow the signal.
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)

    load = worker.load_wsgi

    def load_wsgi():
        from cashman.errors import ConfigurationError

        try:
            load()
        except ConfigurationError as error:
            _stop_the_start(worker, error)
            while worker.alive:  # until the server stops, or takes this worker for dead and tries again
                time.sleep(0.1)
            sys.exit(0)

    worker.load_wsgi = load_wsgi


def post_worker_init(worker):
    """Open the books at the start and not at the first request, while the main loop goes on to show life."""
    import gevent

    # What is loaded by now stays: without this the garbage collector walks it over and over, which cost
    # a third of a worker's time. Requests leave few cycles, so it may also come less often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)

    # What the service has to say goes where gunicorn's own errors go.
    own = logging.getLogger("cashman")
    own.handlers, own.propagate = worker.log.error_log.handlers, False
    own.setLevel(worker.log.error_log.level)
    logging.getLogger().handlers = worker.log.error_log.handlers  # and what libraries warn of

    from cashman import config
    from cashman.observability import logs, requests, traces

    settings = config.load(os.environ)
    style = logs.style_of(settings.log)
    if style != "off":
        requests.watch(worker.wsgi).access_log = logs.AccessLog(style)
    if traces.wanted(os.environ):
        worker.cashman_stop_traces = traces.start(worker.wsgi)
    gevent.spawn(_watch, worker)
    gevent.spawn(_open_books, worker)
    gevent.spawn(_expire, worker)


def worker_exit(server, worker):
    """Send the traces that are left, if whoever takes them answers soon."""
    if hasattr(worker, "cashman_stop_traces"):
        import gevent

        with gevent.Timeout(2, False):
            worker.cashman_stop_traces()


def post_request(worker, request, environ, response):
    """Let the other connections have their turn: one whose next request is there already would go on and on."""
    import gevent

    gevent.sleep(0)


def _open_books(worker):
    """Bring the books up to date, fill empty ones where the settings ask for it, and say who gets in."""
    import gevent

    from cashman import config, demo, door
    from cashman.current import books
    from cashman.errors import ConfigurationError, StoreUnavailable

    told = False
    while True:
        try:
            books(worker.wsgi).database.open()
            if config.load(os.environ).demo:
                demo.fill_at_start(books(worker.wsgi))
            if worker.age == 1:
                worker.log.warning(door.announcement(worker.wsgi))
            return None
        except ConfigurationError as error:
            return _stop_the_start(worker, error)
        except StoreUnavailable as error:
            if not told:
                worker.log.warning("The books are out of reach; requests get 503 until they are back: %s", error)
        except Exception:
            if not told:
                worker.log.exception("The books cannot be opened; it is tried again")
        told = True
        gevent.sleep(1)


def _watch(worker):
    """Note what goes up and down, such as how many wait, also while nobody asks for it."""
    import gevent

    from cashman.current import books
    from cashman.limits import SAMPLE_SECONDS
    from cashman.observability import requests

    while True:
        metrics = requests.watch(worker.wsgi).metrics()
        if metrics is None:
            return
        metrics.sample(books(worker.wsgi))
        gevent.sleep(SAMPLE_SECONDS)


def _expire(worker):
    """Have it recorded that pending transactions have expired, also where nobody reads or writes."""
    import gevent

    from cashman.current import books
    from cashman.errors import StoreUnavailable
    from cashman.limits import EXPIRY_SECONDS

    while True:
        gevent.sleep(EXPIRY_SECONDS)
        try:
            books(worker.wsgi).expire()
        except StoreUnavailable:
            pass  # it is told in the log already, and tried again
        except Exception:
            worker.log.exception("what has expired cannot be recorded")
