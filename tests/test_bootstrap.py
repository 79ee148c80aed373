"""bootstrap.sh, with a stand-in for the Python of its environment: it says how it was called."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Says what it is, where it stands, its process and its arguments; and can install nothing.
PYTHON = """#!/bin/sh
case $1 in
--version) echo "Python 3.99" ;;
*) echo "$(pwd)"; echo "$$"; echo "PYTHONPATH=${PYTHONPATH:-}"; for argument; do echo "$argument"; done ;;
esac
"""


class Home:
    """A folder with bootstrap.sh and an environment that is ready."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = folder / ".venv"
        (self.environment / "bin").mkdir(parents=True)
        for name in ("bootstrap.sh", "Pipfile", "Pipfile.lock"):
            shutil.copy(ROOT / name, folder)
        for name in ("python", "lint-imports"):
            self._write(self.environment / "bin" / name, PYTHON)
        self.mark_as_ready()

    @staticmethod
    def _write(path, text):
        path.write_text(text)
        path.chmod(0o755)

    def mark_as_ready(self):
        pipfiles = (self.folder / "Pipfile").read_bytes() + (self.folder / "Pipfile.lock").read_bytes()
        checksum = subprocess.run(["cksum"], input=pipfiles, capture_output=True, check=True).stdout.decode()
        for level in ("app", "dev"):
            (self.environment / f"ready-{level}").write_text(f"{checksum}Python 3.99\n{self.folder}\n")

    def run(self, *arguments, script=None, cwd="/", **environment):
        inherited = {name: value for name, value in os.environ.items() if name not in ("PORT", "WEB_CONCURRENCY")}
        inherited.pop("PYTHONPATH", None)
        process = subprocess.Popen(
            [script or self.folder / "bootstrap.sh", *arguments],
            cwd=cwd,
            env=inherited | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        output, error = process.communicate(timeout=30)
        return process, output.splitlines(), error


@pytest.fixture
def home(tmp_path):
    folder = tmp_path.resolve() / "a house with rooms"
    folder.mkdir()
    return Home(folder)


@pytest.mark.parametrize("arguments", [(), ("serve",)])
def test_it_becomes_gunicorn_from_any_folder(home, arguments):
    process, (folder, pid, _, *called), error = home.run(*arguments)
    assert folder == str(home.folder)
    assert pid == str(process.pid), "signals have to reach gunicorn itself"
    assert called == ["-m", "gunicorn", "--config", "gunicorn.conf.py", "cashman.index:app"]
    assert error == ""


def test_it_hands_arguments_to_gunicorn(home):
    _, output, _ = home.run("serve", "--bind", "127.0.0.1:1")
    assert output[3:] == [
        "-m",
        "gunicorn",
        "--config",
        "gunicorn.conf.py",
        "--bind",
        "127.0.0.1:1",
        "cashman.index:app",
    ]


def test_it_works_through_a_symlink(home, tmp_path):
    link = tmp_path / "start"
    link.symlink_to(home.folder / "bootstrap.sh")
    _, output, _ = home.run(script=link)
    assert output[0] == str(home.folder)


def test_it_hands_arguments_to_pytest_one_by_one(home):
    _, output, _ = home.run("test", "-k", "money and not slow", "")
    assert output[3:] == ["-m", "pytest", "-k", "money and not slow", ""]


def test_it_runs_the_benchmarks_from_the_repository(home):
    _, output, _ = home.run("bench", "--quick")
    assert (output[0], output[3:]) == (str(home.folder), ["-m", "benchmarks", "--quick"])


def test_the_command_line_stays_in_the_callers_folder(home, tmp_path):
    _, output, _ = home.run("cli", "import", "a file.csv", cwd=tmp_path, PYTHONPATH="/elsewhere")
    assert output[0] == str(tmp_path.resolve())
    assert output[2:] == [f"PYTHONPATH={home.folder}:/elsewhere", "-P", "-m", "cashman", "import", "a file.csv"]


def test_lint_runs_every_checker(home):
    _, output, _ = home.run("lint")
    assert [line for line in output if line in ("ruff", "mypy", "check", "format")] == [
        "ruff",
        "check",
        "ruff",
        "format",
        "mypy",
    ]


def test_an_unknown_verb_is_refused_in_one_line(home):
    process, output, error = home.run("dance")
    assert process.returncode == 1
    assert output == []
    assert error == "cashman: knows serve, test, lint, bench, cli and setup, not 'dance'\n"


@pytest.mark.parametrize("name", ["PORT", "WEB_CONCURRENCY"])
@pytest.mark.parametrize("value", ["0", "-1", "5000.0", "70000", "0x50", "five", " ", "1 2", "99999999999999999999"])
def test_a_number_that_is_none_stops_the_start_in_one_line(home, name, value):
    process, output, error = home.run(**{name: value})
    assert process.returncode == 1
    assert output == []
    assert error.startswith(f"cashman: {name} must be a whole number from 1 to ")
    assert error.endswith(f", not '{value}'\n")


def test_an_empty_number_is_no_number(home):
    process, output, _ = home.run(PORT="", WEB_CONCURRENCY="")
    assert process.returncode == 0
    assert output[-1] == "cashman.index:app"


@pytest.mark.parametrize("python", ["/nowhere/python3", "false"])
def test_no_python_is_one_clear_line(home, python):
    (home.environment / "ready-app").unlink()
    process, output, error = home.run(PYTHON=python)
    assert process.returncode == 1
    assert output == []
    assert (
        error
        == f"cashman: needs Python 3.11 or newer, found none as: {python} (name one with PYTHON=/path/to/python3)\n"
    )


def test_an_old_python_is_not_taken(home, tmp_path):
    (home.environment / "ready-app").unlink()
    old = tmp_path / "old python"
    home._write(old, f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.version_info = (3, 10, 9)\n$2"\n')
    process, _, error = home.run(PYTHON=str(old))
    assert process.returncode == 1
    assert "needs Python 3.11 or newer" in error


def test_a_python_that_cannot_make_environments_says_what_to_install(home, tmp_path):
    (home.environment / "ready-app").unlink()
    bare = tmp_path / "python"
    # As Debian's without python3-venv: the environment is made, pip cannot be put into it.
    home._write(
        bare,
        f'#!/bin/sh\ncase "$*" in *print*) echo "$0" ;; *venv*) exit 1 ;; *) exec "{sys.executable}" "$@" ;; esac\n',
    )
    home._write(tmp_path / "virtualenv", "#!/bin/sh\nexit 1\n")
    process, output, error = home.run(PYTHON=str(bare), PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert process.returncode == 1
    assert output == []
    assert error.splitlines()[-1].endswith("install python3-venv (apt install python3-venv) or virtualenv")


@pytest.mark.parametrize("change", ["interrupted", "lock", "pipfile", "python", "moved"])
def test_what_is_not_ready_is_set_up_again(home, change):
    if change == "interrupted":
        (home.environment / "ready-app").unlink()
    elif change == "python":
        home._write(home.environment / "bin" / "python", PYTHON.replace("3.99", "3.98"))
    elif change == "moved":
        home.folder = home.folder.rename(home.folder.with_name("another house"))
    else:
        with (home.folder / {"lock": "Pipfile.lock", "pipfile": "Pipfile"}[change]).open("a") as file:
            file.write("\n")
    process, _, error = home.run(PYTHON="/nowhere/python3")
    assert process.returncode == 1
    assert "needs Python" in error


def test_the_environment_of_the_service_is_not_enough_for_the_tests(home):
    (home.environment / "ready-dev").unlink()
    assert home.run(PYTHON="/nowhere/python3")[0].returncode == 0
    assert home.run("test", PYTHON="/nowhere/python3")[0].returncode == 1
