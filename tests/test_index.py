"""The contract that people know: import, serve, record, list."""

import subprocess
import sys
from pathlib import Path

from flask.testing import FlaskClient


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
