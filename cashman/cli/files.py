"""Files of other programs, in and out: `cashman import`, `cashman export`."""

import contextlib
import io
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

import click
import msgspec

from cashman.cli.filters import filters, query_of
from cashman.cli.problems import BROKEN, fields, tell
from cashman.cli.service import IMPORT_SECONDS_MAX, Answer, Refused, Service, Unreachable, open_service
from cashman.cli.tables import Column, as_json, plain, show_table, text_of

FORMATS_IN: Final = ("csv", "ofx", "qif", "camt053", "mt940", "beancount", "hledger", "json", "ndjson")
FORMATS_OUT: Final = ("csv", "json", "ndjson", "beancount", "hledger", "ofx", "qif")

LINES: Final = (
    Column("line", number=True),
    Column("outcome"),
    Column("why", shrinks=True),
    Column("date"),
    Column("description", shrinks=True),
    Column("category", shrinks=True),
    Column("amount", number=True),
    Column("currency", ""),
    Column("account", shrinks=True),
)


# In.


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.File("rb"), metavar="FILE…")
@click.option("--format", "format_", type=click.Choice(FORMATS_IN), help="What it is; found out without it.")
@click.option("--account", metavar="NAME", help="Where movements go that name no account; main without it.")
@click.option("--preview", is_flag=True, help="Show what would be booked, and book nothing.")
@click.option("--partial", is_flag=True, help="Book what can be booked, also where other lines are refused.")
@click.option("--mapping", metavar="NAME|FILE.json", help="What the columns of a CSV file mean: saved, or in a file.")
@as_json
def import_files(
    files: Sequence[BinaryIO],
    format_: str | None,
    account: str | None,
    preview: bool,
    partial: bool,
    mapping: str | None,
    json: bool,
) -> None:
    """Import statements and other books: CSV, OFX, QIF, CAMT.053, MT940, beancount, hledger, JSON, NDJSON.

    Each file is booked as a whole or not at all, unless it is --partial. What was imported before is skipped, so the
    same file can be imported again. `-` is standard input.
    """
    service = open_service(makes=not preview)
    inline = Path(mapping) if mapping is not None and mapping.lower().endswith(".json") else None
    query = [("account", account), ("mapping", None if inline else mapping)]
    flags = [("preview", "true" if preview else None), ("partial", "true" if partial else None)]
    asked = [(name, value) for name, value in (*query, *flags) if value is not None]
    extra = {} if inline is None else {"mapping": _read_mapping(inline)}
    told: list[bytes] = []
    status = 0
    for file in files:
        try:
            outcome = _import(service, file, format_, asked, extra)
            told.append(outcome)
            status = max(status, _show_outcome(Path(file.name).name, outcome, quiet=json))
        except (Refused, Unreachable) as error:
            told.append(msgspec.json.encode(getattr(error, "document", None) or {"detail": str(error)}))
            status = max(status, _show_refused(file.name, error))
    if json:
        click.echo(told[0] if len(told) == 1 else b"[" + b",".join(told) + b"]")
    sys.exit(status)


def _read_mapping(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}", param_hint="--mapping") from None


def _import(
    service: Service, file: BinaryIO, format_: str | None, query: list[tuple[str, str]], extra: Mapping[str, bytes]
) -> bytes:
    """Send a file, and give what became of it."""
    from cashman.limits import IMPORT_BYTES_MAX

    content = file.read(IMPORT_BYTES_MAX + 1)
    path = "/import" if format_ is None else f"/import/{format_}"
    body, media_type = _multipart({**extra, "file": content}, Path(file.name).name)
    headers = {"Content-Type": media_type, "Content-Length": str(len(body))}
    with _progress(f"Importing {Path(file.name).name}", len(body)) as bar:
        answer = service.request("POST", path, query, _Watched(body, bar), headers, IMPORT_SECONDS_MAX)
        return answer.body()


def _multipart(parts: Mapping[str, bytes], name: str) -> tuple[bytes, str]:
    """A form with some parts, the last of which is the file, and its media type."""
    boundary = uuid.uuid4().hex
    safe = "".join(one if one.isascii() and one.isprintable() and one not in '"\\' else "_" for one in name)
    body = bytearray()
    for part, content in parts.items():
        file_name = f'; filename="{safe}"' if part == "file" else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"{file_name}\r\n\r\n'.encode()
        body += content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return bytes(body), f"multipart/form-data; boundary={boundary}"


class _Watched(io.BytesIO):
    """What is sent; a bar follows how much of it is gone."""

    def __init__(self, content: bytes, bar: Any) -> None:
        super().__init__(content)
        self._bar = bar

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self._bar.update(len(part))
        return part


def _progress(label: str, length: int | None) -> Any:
    """A bar on standard error, where that is a terminal."""
    return click.progressbar(length=length, label=plain(label), file=sys.stderr, hidden=not sys.stderr.isatty())


def _show_outcome(name: str, body: bytes, *, quiet: bool) -> int:
    """Say what became of a file; gives the exit status."""
    outcome = msgspec.json.Decoder(float_hook=Decimal).decode(body)
    if not quiet:
        booked = "would be booked" if outcome["preview"] else "booked"
        sums = ", ".join(f"{text_of(amount)} {currency}" for currency, amount in outcome["sums"].items())
        click.echo(
            f"{plain(name)} ({outcome['format']}, {outcome['encoding']}): {outcome['booked']} {booked}"
            f"{f' ({sums})' if sums else ''}, {outcome['skipped']} skipped, {outcome['refused']} refused"
        )
        for account in outcome["accounts"]:
            opened = "would be opened" if outcome["preview"] else "opened"
            click.echo(f"account {opened}: {plain(account['name'])} ({account['currency']})")
        show_table([_line(line) for line in outcome["lines"]], LINES)
    return BROKEN if outcome["refused"] else 0


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table: what is wrong with it, or what it is booked as."""
    why = line.get("reason") or "; ".join(f"{name}: {rule}" for name, rule in fields(line.get("errors") or {}))
    return {**(line.get("transaction") or {}), "line": line["line"], "outcome": line["outcome"], "why": why}


def _show_refused(name: str, error: Refused | Unreachable) -> int:
    return tell(error, f"{plain(Path(name).name)}: ")


# Out.


@click.command()
@click.argument("format_", metavar="FORMAT", type=click.Choice(FORMATS_OUT))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, instead of the output.")
@click.option("--form", type=click.Choice(["safe", "lossless"]), help="Of CSV: for a spreadsheet, or to be read back.")
@filters
def export(format_: str, output: Path | None, **given: Any) -> None:
    """Export transactions: csv, json, ndjson, beancount, hledger, ofx, qif; filtered by the options."""
    answer = open_service().request("GET", f"/export/{format_}", query_of(given))
    if output is None:
        for part in answer.parts:
            click.echo(part, nl=False)
        return
    with _whole(output) as file, _progress(f"Exporting to {output}", _length(answer)) as bar:
        for part in answer.parts:
            file.write(part)
            bar.update(len(part))


def _length(answer: Answer) -> int | None:
    told = answer.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() else None


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that is there when all of it is written, and as it was before where that fails."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                yield file
            except BaseException:
                Path(file.name).unlink()
                raise
        mask = os.umask(0)
        os.umask(mask)
        Path(file.name).chmod(0o666 & ~mask)
        Path(file.name).replace(path)
    except OSError as error:
        raise Unreachable(f"{path} cannot be written: {error.strerror or error}") from None
