"""The contract that people know: import, serve, record, list."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from flask.testing import FlaskClient
from serving import ROOT, SECONDS_MAX, free_port


def test_the_tutorials_first_steps_work(client: FlaskClient) -> None:
    assert client.get("/incomes").json == []
    recorded = client.post("/incomes", json={"description": "lottery", "amount": 1000.0})
    assert (recorded.status_code, recorded.data) == (204, b"")
    client.post("/expenses", json={"description": "pizza", "amount": 50})
    assert [(row["description"], row["type"], row["amount"]) for row in client.get("/incomes/").json] == [
        ("lottery", "INCOME", 1000)
    ]
    assert b'"amount":-50.00,' in client.get("/expenses/").data


def test_import_alone_makes_no_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cashman.db'}"
    environment = {"CASHMAN_DATABASE_URL": url, "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", "from cashman.index import app"], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


def test_flasks_own_server_finds_it_as_the_tutorial_starts_it(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("CASHMAN_", "FLASK_"))},
        "FLASK_APP": "./cashman/index.py",
        "CASHMAN_DATABASE_URL": f"sqlite:///{tmp_path / 'cashman.db'}",
    }
    command = [sys.executable, "-m", "flask", "run", "--port", str(port)]
    url = f"http://localhost:{port}"
    expense = urllib.request.Request(
        f"{url}/expenses", b'{"description": "pizza", "amount": 50}', {"Content-Type": "application/json"}
    )
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=SECONDS_MAX):
                break
            time.sleep(0.1)
        with urllib.request.urlopen(expense, timeout=SECONDS_MAX) as answer:
            assert answer.status == 204
        with urllib.request.urlopen(f"{url}/expenses/", timeout=SECONDS_MAX) as answer:
            assert [row["amount"] for row in json.load(answer)] == [-50]
    finally:
        server.terminate()
        server.wait(SECONDS_MAX)
