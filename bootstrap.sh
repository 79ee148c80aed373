#!/bin/sh
# Set up what is missing, then do what is asked:
#
#   ./bootstrap.sh [serve …]    serve on port $PORT (5000); arguments go to gunicorn
#   ./bootstrap.sh test …       run the tests; arguments go to pytest
#   ./bootstrap.sh lint         check style, types and import contracts
#   ./bootstrap.sh bench …      run the benchmarks
#   ./bootstrap.sh cli …        run python -m cashman; so does a link to it named cashman
#   ./bootstrap.sh setup [dev]  set up and stop
#
# It needs Python 3.11 or newer; to name one: PYTHON=/path/to/python3 ./bootstrap.sh
# All that it installs lies in .venv beside it, which may be removed at any time.
set -eu

pipenv_version=2026.10.3

here=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd)
environment=$here/.venv

say() { printf 'cashman: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# A candidate is really run, because a version manager's shim exists also where its Python does not.
find_python() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.14 python3.13 python3.12 python3.11; fi
    for candidate; do
        python=$("$candidate" -c 'import sys; print(sys.executable); sys.exit(sys.version_info < (3, 11))' 2>/dev/null) && return
    done
    fail "needs Python 3.11 or newer, found none as: $* (name one with PYTHON=/path/to/python3)"
}

# What an environment was made from. The folder counts too: scripts in the environment name their path.
describe() {
    cat "$here/Pipfile" "$here/Pipfile.lock" | cksum
    "$environment/bin/python" --version
    printf '%s\n' "$here"
}

is_ready() { [ -f "$environment/ready-$1" ] && [ "$(describe 2>&1)" = "$(cat "$environment/ready-$1")" ]; }

# The first argument is the folder, the others are venv's. Debian ships venv and pip apart from Python.
make_environment() {
    "$python" -m venv "$@" >/dev/null 2>&1 || virtualenv --quiet --python "$python" --clear "$1" >/dev/null 2>&1 ||
        fail "$python cannot make a virtual environment: install python3-venv (apt install python3-venv) or virtualenv"
}

# Shows what a command said only when it fails.
quietly() {
    "$@" >"$environment/log" 2>&1 || {
        cat "$environment/log" >&2
        fail "setting up failed, see above; the next start begins again"
    }
}

# pipenv has an environment of its own, so that its dependencies do not mix with the service's.
pipenv() {
    VIRTUAL_ENV=$environment PIPENV_IGNORE_VIRTUALENVS=0 PIPENV_PIPFILE=$here/Pipfile PIPENV_VERBOSITY=-1 PIP_USER=0 \
        "$environment/pipenv/bin/python" -m pipenv "$@"
}

# The Pipfile names no index, and pipenv would count the user's own as a change of the Pipfile.
verify() (
    unset PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIPENV_PYPI_MIRROR
    PIP_CONFIG_FILE=/dev/null pipenv verify
)

can_compile() {
    command -v "${CC:-cc}" >/dev/null && "$environment/bin/python" -c '
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

# The marks go first and come last, so that an interrupted installation counts for nothing.
install() {
    from_scratch=true
    if is_ready app; then from_scratch=false; fi
    rm -f "$environment/ready-app" "$environment/ready-dev"
    if $from_scratch; then
        say "making an environment in $environment"
        make_environment "$environment" --clear --without-pip
        make_environment "$environment/pipenv"
        quietly "$environment/pipenv/bin/python" -m pip --disable-pip-version-check install "pipenv==$pipenv_version"
    fi
    say "installing packages ($1)"
    verify >/dev/null 2>&1 || fail "Pipfile and Pipfile.lock do not belong together: run .ci/lock"
    if [ "$1" = dev ]; then quietly pipenv sync --dev; else quietly pipenv sync; fi
    if $from_scratch && ! { can_compile && pipenv sync --categories fast >"$environment/log" 2>&1; }; then
        say "no C parser (it takes a C compiler and Python's headers): HTTP is parsed in Python, at about half the speed"
    fi
    describe >"$environment/ready-app"
    if [ "$1" = dev ]; then cp "$environment/ready-app" "$environment/ready-dev"; fi
}

# Sets up for "app" or "dev" once, also when several first starts meet: the kernel drops the lock of
# whoever dies, and a pip that outlives its bootstrap.sh still holds it.
prepare() {
    if is_ready "$1"; then return; fi
    find_python
    exec 9<"$here/Pipfile.lock"
    "$python" -c 'import fcntl; fcntl.flock(0, fcntl.LOCK_EX)' <&9
    is_ready "$1" || install "$1"
    exec 9<&-
}

whole_number() {
    case $2 in
    '' | *[!0-9]* | ??????*) ;;
    *) if [ "$2" -ge 1 ] && [ "$2" -le "$3" ]; then return; fi ;;
    esac
    fail "$1 must be a whole number from 1 to $3, not '$2'"
}

# A link to this script by the name of `cashman` is the command line.
if [ "${0##*/}" = cashman ]; then set -- cli "$@"; fi
verb=${1:-serve}
[ $# -eq 0 ] || shift
case $verb in
serve)
    # Here and not in gunicorn.conf.py, because gunicorn itself reads both before its configuration.
    export PORT="${PORT:-5000}" WEB_CONCURRENCY="${WEB_CONCURRENCY:-2}"
    whole_number PORT "$PORT" 65535
    whole_number WEB_CONCURRENCY "$WEB_CONCURRENCY" 1000
    prepare app
    cd "$here"
    exec "$environment/bin/python" -m gunicorn --config gunicorn.conf.py "$@" cashman.index:app
    ;;
test)
    prepare dev
    cd "$here"
    exec "$environment/bin/python" -m pytest "$@"
    ;;
lint)
    prepare dev
    cd "$here"
    "$environment/bin/python" -m ruff check
    "$environment/bin/python" -m ruff format --check
    "$environment/bin/python" -m mypy
    exec "$environment/bin/lint-imports"
    ;;
bench)
    prepare app
    cd "$here"
    exec "$environment/bin/python" -m benchmarks "$@"
    ;;
cli)
    # Stays in the caller's folder, because the arguments may name files there.
    prepare app
    PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} exec "$environment/bin/python" -P -m cashman "$@"
    ;;
setup)
    prepare "${1:-app}"
    ;;
*)
    fail "knows serve, test, lint, bench, cli and setup, not '$verb'"
    ;;
esac
