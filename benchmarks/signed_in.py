"""POST /expenses with an access token on each request, and with an API key, against the open door without any."""

import json
import secrets
from dataclasses import replace

from benchmarks import servers
from benchmarks.options import Options
from benchmarks.report import Comparison, Report, headings
from benchmarks.servers import Server, Unusable
from benchmarks.writes_and_reads import EXPENSE, check_rows, measure

TITLE = "Durable writes with a token on each, against the open door"
CREDENTIALS = {"email": "bench@example.com", "password": secrets.token_urlsafe()}


def run(options: Options) -> Report:
    """Measure the three in turn, each round on new ledgers."""
    kinds = {kind: Comparison(f"POST /expenses, {kind}") for kind in ("access token", "API key")}
    for _ in range(options.rounds):
        with options.fresh_ledger() as url, servers.cashman(url, parser=options.parser) as cashman:
            plain = measure(options, cashman, "/expenses", EXPENSE)
            check_rows(cashman, plain, options.connections)
        for kind, comparison in kinds.items():
            key = secrets.token_urlsafe(32)
            settings = {"CASHMAN_BOOTSTRAP_KEY": key, "CASHMAN_RATE_LIMIT": "0"}
            with (
                options.fresh_ledger() as url,
                servers.cashman(url, parser=options.parser, settings=settings) as cashman,
            ):
                signed_in = _sign_in(cashman, key, kind)
                sample = measure(options, signed_in, "/expenses", EXPENSE)
                check_rows(signed_in, sample, options.connections)
                comparison.toy.append(plain)
                comparison.cashman.append(sample)
    checks = ["no answer was outside 2xx, and every acknowledged POST is a row"]
    names = headings("open door", "token")
    return Report(TITLE, options.conditions(), list(kinds.values()), checks, names)


def _sign_in(server: Server, bootstrap_key: str, kind: str) -> Server:
    """The same server, with what a user who was just made signs in with."""
    _ask(replace(server, token=bootstrap_key), "/users", CREDENTIALS, 201)
    signed_in = replace(server, token=_ask(server, "/tokens", CREDENTIALS, 200)["access_token"])
    if kind == "access token":
        return signed_in
    return replace(server, token=_ask(signed_in, "/api-keys", {"name": "bench", "scope": "write"}, 201)["key"])


def _ask(server: Server, path: str, document: dict[str, str], expected: int) -> dict[str, str]:
    status, _headers, body = server.request("POST", path, json.dumps(document))
    if status != expected:
        raise Unusable(f"{server.name}: POST {path} answered {status}")
    answer: dict[str, str] = json.loads(body)
    return answer
