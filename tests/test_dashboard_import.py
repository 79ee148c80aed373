"""The page that a file is dropped on: what it offers; what happens then is the API's, and a browser's."""

import re
from pathlib import Path

from flask.testing import FlaskClient

from cashman import dashboard, mappings
from cashman.formats import IMPORTS
from cashman.ledger import Ledger

FOLDER = Path(dashboard.__file__).parent


def test_it_offers_formats_open_accounts_and_the_mappings_that_are_kept(client: FlaskClient, ledger: Ledger) -> None:
    assert 'id="mapping"' not in client.get("/pages/import").text
    ledger.open_account({"name": "Giro <b>", "currency": "EUR"})
    ledger.open_account({"name": "Old", "currency": "EUR", "closed": True})
    mappings.save(ledger, "my <i>bank</i>", {"separator": ";"})
    page = client.get("/pages/import").text
    assert all(f"<option>{name}</option>" in page for name in IMPORTS)
    assert "<option>Giro &lt;b&gt;</option>" in page
    assert "<option>Old</option>" not in page
    assert "<option>my &lt;i&gt;bank&lt;/i&gt;</option>" in page


def test_every_word_that_a_script_says_stands_on_its_page() -> None:
    for script, template in (
        ("import.js", "import.html"),
        ("transactions.js", "transactions.html"),
        ("entry.js", "entry_line.html"),
    ):
        source = (FOLDER / "static" / script).read_text(encoding="utf-8")
        page = (FOLDER / "templates" / template).read_text(encoding="utf-8")
        offered = {name.removeprefix("entry-") for name in re.findall(r'<data value="([^"]+)">', page)}
        said = set(re.findall(r'\bword\("([^"]+)"', source))
        assert said
        assert said <= offered, script
