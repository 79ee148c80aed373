"""How the service is packed, installed and started: the lock, the scripts, the image's recipe, the server."""

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest
from conftest import missing

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "Pipfile.lock"
SECONDS_MAX = 20
CATEGORIES = {"packages": "default", "dev-packages": "develop", "fast": "fast"}


@pytest.fixture(scope="module")
def lock():
    return json.loads(LOCK.read_text("utf-8"))


@pytest.fixture(scope="module")
def stages():
    """The Dockerfile's stages, each a list of instructions with continuation lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8"))
    instructions = [line for line in text.splitlines() if line and not line.startswith("#")]
    starts = [number for number, line in enumerate(instructions) if line.startswith("FROM ")]
    return [instructions[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def test_the_lock_names_no_index(lock):
    assert "://" not in LOCK.read_text("utf-8")
    assert lock["_meta"]["sources"] == []
    assert not any("index" in package for category in CATEGORIES.values() for package in lock[category].values())


def test_everything_in_the_lock_is_pinned_and_has_hashes(lock):
    for category in CATEGORIES.values():
        for name, package in lock[category].items():
            assert package["version"].startswith("=="), name
            assert package["hashes"], name


def test_everything_in_the_pipfile_is_in_the_lock(lock):
    pipfile = tomllib.loads((ROOT / "Pipfile").read_text("utf-8"))
    assert set(pipfile) == set(CATEGORIES)
    for category, locked in CATEGORIES.items():
        assert set(pipfile[category]) <= set(lock[locked])


def test_categories_agree_on_the_versions_that_they_share(lock):
    versions = {}
    for category in CATEGORIES.values():
        for name, package in lock[category].items():
            assert versions.setdefault(name, package["version"]) == package["version"], name


def test_the_lock_was_made_from_this_pipfile():
    python = ROOT / ".venv" / "pipenv" / "bin" / "python"
    if not python.exists():
        missing("pipenv (./bootstrap.sh test brings it)")
    # pipenv would count the index of pip's own configuration as a change of the Pipfile.
    indexes = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIPENV_PYPI_MIRROR")
    environment = {name: value for name, value in os.environ.items() if name not in indexes}
    environment |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIPENV_PIPFILE": str(ROOT / "Pipfile"),
        "PIPENV_VERBOSITY": "-1",
        "VIRTUAL_ENV": str(ROOT / ".venv"),
    }
    verify = subprocess.run([python, "-m", "pipenv", "verify"], env=environment, capture_output=True, text=True)
    assert verify.returncode == 0, verify.stderr


@pytest.mark.parametrize("script", ["bootstrap.sh", ".ci/lock"])
@pytest.mark.parametrize("shell", [shell for shell in ("sh", "dash") if shutil.which(shell)])
def test_scripts_are_for_every_posix_shell(script, shell):
    assert subprocess.run([shell, "-n", ROOT / script], capture_output=True, text=True).stderr == ""
    text = (ROOT / script).read_text("utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert os.access(ROOT / script, os.X_OK)
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert not re.search(r"\[\[|^\s*(local|source|function|declare)\s|<<<|&>|\$'|\bpipefail\b", code, re.MULTILINE)


def test_every_stage_stands_on_the_one_base_that_can_be_chosen(stages):
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert text.startswith("ARG BASE=python:3.13-slim-bookworm\n")
    assert {stage[0].split()[1] for stage in stages} == {"${BASE}"}
    # Each of these would need a registry at build time.
    assert not re.search(r"^# *syntax=|--platform|@sha256:|COPY --from=(?!builder )", text, re.MULTILINE)


def test_the_runtime_stage_has_no_compiler_and_no_rights(stages):
    runtime = stages[-1]
    assert not any(re.search(r"apt-get|pip install|gcc", line) for line in runtime)
    assert "USER 10001:10001" in runtime
    assert not any(line.startswith("RUN ") for line in runtime[runtime.index("USER 10001:10001") :])


def test_the_image_starts_through_bootstrap_without_a_shell_in_between(stages):
    runtime = stages[-1]
    assert 'ENTRYPOINT ["./bootstrap.sh"]' in runtime
    assert 'CMD ["serve"]' in runtime
    assert "STOPSIGNAL SIGTERM" in runtime


def test_the_image_says_where_it_listens_what_it_keeps_and_whether_it_is_well(stages):
    runtime = stages[-1]
    assert "EXPOSE 5000" in runtime
    assert "VOLUME /data" in runtime
    assert any("CASHMAN_DATABASE_URL=sqlite:////data/cashman.db" in line for line in runtime)
    health = next(line for line in runtime if line.startswith("HEALTHCHECK "))
    assert "/healthz" in health
    assert not re.search(r"curl|wget|CMD [^\[]", health)


def test_only_what_the_image_needs_goes_into_it():
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in lines
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert allowed == {"Pipfile", "Pipfile.lock", "bootstrap.sh", "gunicorn.conf.py", "cashman", "tools/sbom.py"}


def test_the_bill_of_materials_is_cyclonedx_and_holds_what_is_locked_with_every_hash(lock):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    made = [
        subprocess.run([sys.executable, ROOT / "tools" / "sbom.py", LOCK], capture_output=True, check=True).stdout
        for _ in range(2)
    ]
    assert made[0] == made[1]
    # Two files of each package are as good as forty, and the validator compares each with each.
    some = json.loads(made[0])
    for component in some["components"]:
        del component["externalReferences"][2:]
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(some)) is None
    some["components"][0]["externalReferences"][0]["hashes"][0]["content"] = "none"
    assert validator.validate_str(json.dumps(some)) is not None
    found = {
        (component["name"], component["version"]): {
            hash_["content"] for file in component["externalReferences"] for hash_ in file["hashes"]
        }
        for component in json.loads(made[0])["components"]
    }
    expected = {
        (name, package["version"].removeprefix("==")): {hash_.removeprefix("sha256:") for hash_ in package["hashes"]}
        for category in ("default", "fast")
        for name, package in lock[category].items()
    }
    assert found == expected
    assert len(found) > 50


def test_the_image_keeps_what_babel_knows_of_every_language_that_is_spoken(stages):
    """The builder takes the others away; one more folder of translations needs its place in the Dockerfile."""
    kept = {name for line in stages[0] for name in re.findall(r"! -name '([a-z]+)\*?\.dat'", line)}
    spoken = {path.parent.name.split("_")[0] for path in (ROOT / "cashman" / "translations").glob("*/messages.po")}
    assert kept == {"root", "en", *spoken}


@pytest.fixture
def gunicorn_settings(monkeypatch):
    """What gunicorn.conf.py sets under an environment."""

    def settings(**environment):
        for name in ("PORT", "WEB_CONCURRENCY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(ROOT / "gunicorn.conf.py"))

    return settings


def test_gunicorn_takes_the_settings(gunicorn_settings):
    from gunicorn.config import Config

    config = Config()
    for name, value in gunicorn_settings().items():
        if name in config.settings:
            config.set(name, value)
    assert config.worker_class_str == "gevent"
    assert config.http_parser == "auto"
    assert config.control_socket_disable is True
    assert config.forwarder_headers == []
    assert config.accesslog is None


def test_gunicorn_serves_on_port_5000_with_two_workers_unless_told_otherwise(gunicorn_settings):
    settings = gunicorn_settings()
    assert (settings["bind"], settings["workers"]) == ("0.0.0.0:5000", 2)
    settings = gunicorn_settings(PORT="8080", WEB_CONCURRENCY="4")
    assert (settings["bind"], settings["workers"]) == ("0.0.0.0:8080", 4)


def test_gunicorn_stops_within_what_docker_waits(gunicorn_settings):
    settings = gunicorn_settings()
    assert settings["graceful_timeout"] + 1 < 10
    assert settings["keepalive"] + 1 < 5


def test_the_master_never_imports_the_service(gunicorn_settings):
    settings = gunicorn_settings()
    assert settings["preload_app"] is False
    assert not re.search(r"^(import|from) cashman", (ROOT / "gunicorn.conf.py").read_text("utf-8"), re.MULTILINE)


class Server:
    """gunicorn on a free port, with a home and a ledger of its own."""

    def __init__(self, folder, **environment):
        self.folder = folder
        self.log = folder / "log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CASHMAN_")}
        settings = {"HOME": str(folder / "home"), "CASHMAN_DATABASE_URL": f"sqlite:///{folder / 'cashman.db'}"}
        (folder / "home").mkdir()
        command = ["-m", "gunicorn", "--config", "gunicorn.conf.py", "--bind", "127.0.0.1:0", "cashman.index:app"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=inherited | settings | environment, stdout=log, stderr=log
            )

    def wait_for(self, pattern, times=1):
        """The last match of a pattern in the log, once it is there so many times."""
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            found = re.findall(pattern, self.log.read_text())
            if len(found) >= times:
                return found[-1]
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} in:\n{self.log.read_text()}")

    def get(self, path):
        url = self.wait_for(r"Listening at: (http://\S+)")
        with urllib.request.urlopen(url + path, timeout=SECONDS_MAX) as answer:
            return answer.status

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS_MAX)


@pytest.fixture
def start(tmp_path):
    servers = []

    def start(**environment):
        servers.append(Server(tmp_path, **environment))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def test_the_books_are_open_before_the_first_request(start):
    server = start()
    server.wait_for(r"Booting worker", times=2)
    deadline = time.monotonic() + SECONDS_MAX
    while not (server.folder / "cashman.db").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (server.folder / "cashman.db").exists()
    assert server.get("/healthz") == 200


def test_it_stops_cleanly_and_soon_and_leaves_nothing_in_the_home_folder(start):
    server = start()
    assert server.get("/incomes/") == 200
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 5
    assert list((server.folder / "home").iterdir()) == []
    assert "Traceback" not in server.log.read_text()


def test_a_crashed_worker_is_replaced_while_the_others_serve_on(start):
    server = start()
    assert server.get("/incomes/") == 200
    os.kill(int(server.wait_for(r"Booting worker with pid: (\d+)", times=2)), signal.SIGKILL)
    for _ in range(10):
        assert server.get("/incomes/") == 200
    server.wait_for(r"Booting worker with pid: (\d+)", times=3)
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"CASHMAN_CURENCY": "EUR"}, "CASHMAN_CURENCY is not a setting (did you mean CASHMAN_CURRENCY?)"),
        ({"CASHMAN_DATABASE_URL": "mysql://x"}, "CASHMAN_DATABASE_URL: mysql is neither sqlite nor postgresql"),
    ],
)
def test_a_wrong_setting_stops_the_start_in_one_line(start, setting, line):
    server = start(**setting)
    assert server.process.wait(SECONDS_MAX) != 0
    log = server.log.read_text()
    assert re.findall(r"^cashman: (.*)$", log, re.MULTILINE) == [line]
    assert "Traceback" not in log


def test_it_is_alive_while_the_database_is_out_of_reach(start):
    server = start(CASHMAN_DATABASE_URL="postgresql://127.0.0.1:1/nothing")
    server.wait_for("The books are out of reach")
    assert server.get("/healthz") == 200
    assert server.stop() == 0
