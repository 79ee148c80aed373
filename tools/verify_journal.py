#!/usr/bin/env python3
"""Check an exported journal with nothing but Python's standard library.

    curl 'http://localhost:5000/journal?limit=10000' -H 'Accept: application/x-ndjson' > journal.ndjson
    python3 tools/verify_journal.py journal.ndjson [--head SEQUENCE:HASH]

It shares no code with the service, so that one mistake cannot hide in both. Exit status 0: sound. 1: tampered,
and the first bad entry is named. 2: could not be checked.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

DOMAIN = b"cashman-journal-v1\n"
MEMBERS = {
    "v": int,
    "ledger": str,
    "sequence": int,
    "kind": str,
    "entity": str,
    "entity_id": str,
    "revision": int,
    "recorded_at": str,
    "actor": str,
    "figures": dict,
    "words_sha256": (str, type(None)),
    "previous": str,
}
"""The members of an entry, in the order in which they are written, and what each is."""


def sha256(data):
    """The hash of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def words_line(words):
    """The stored line of words again: compact JSON, in which only quotes, backslashes and controls are escaped."""
    return json.dumps(words, ensure_ascii=False, separators=(",", ":")).encode()


def is_entry(entry):
    """Whether it has the members of an entry of version 1, each of its type."""
    return (
        list(entry) == list(MEMBERS)
        and all(isinstance(entry[name], type_) for name, type_ in MEMBERS.items())
        and entry["v"] == 1
    )


def check(lines, head):  # noqa: C901  a list of rules reads best in one place
    """Yield what is wrong, the first bad entry first; returns the last entry's sequence and hash."""
    sequence, previous, recorded_at, ledger = 0, "0" * 64, "", None
    revisions, wordless, seen = {}, {}, False
    for number, line in enumerate(lines, 1):
        try:
            document = json.loads(line)
            stored, hash_, words = document["entry"], document["hash"], document["words"]
            entry = json.loads(stored)
            where = f"line {number} (sequence {entry.get('sequence')})"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            yield f"line {number}: not an entry: {error!r}"
            return None
        if sha256(DOMAIN + stored.encode()) != hash_:
            yield f"{where}: the entry does not have the hash beside it"
        if not is_entry(entry):
            yield f"{where}: not an entry of version 1"
            return None
        if entry["sequence"] != sequence + 1:
            yield f"{where}: expected sequence {sequence + 1}"
        if entry["previous"] != previous:
            yield f"{where}: does not follow the entry before it"
        if entry["recorded_at"] <= recorded_at:
            yield f"{where}: not recorded after the entry before it"
        if ledger not in (None, entry["ledger"]):
            yield f"{where}: an entry of another ledger"
        entity = entry["entity"], entry["entity_id"]
        before = revisions.get(entity, 0)
        if entry["revision"] != before + 1 or (entry["kind"] == "open" and entity in revisions):
            yield f"{where}: revision {entry['revision']} of {entity[1]} follows {revisions.get(entity, 0)}"
        if words is not None and (entry["words_sha256"] is None or sha256(words_line(words)) != entry["words_sha256"]):
            yield f"{where}: not the words that the entry was made with"
        if words is None and entry["words_sha256"] is not None:
            wordless.setdefault(entity, where)
        if entry["kind"] == "redact":
            wordless.pop(entity, None)
        sequence, previous, recorded_at, ledger = entry["sequence"], hash_, entry["recorded_at"], entry["ledger"]
        revisions[entity] = entry["revision"]
        seen = seen or head == (sequence, previous)
    for where in wordless.values():
        yield f"{where}: the words are missing, and no redaction erased them"
    if head is not None and not seen:
        yield f"the receipt {head[0]}:{head[1]} is not in the chain"
    return sequence, previous


def receipt(text):
    """SEQUENCE:HASH as a pair."""
    sequence, _, hash_ = text.partition(":")
    if len(hash_) != 64:
        raise argparse.ArgumentTypeError("a receipt is SEQUENCE:HASH, as the header Cashman-Head gives it")
    return int(sequence), hash_.lower()


def main():
    """Check the file that the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(description="Check an exported journal.")
    parser.add_argument(
        "journal", help="NDJSON as GET /journal gives it, from the first entry on; - for standard input"
    )
    parser.add_argument("--head", type=receipt, metavar="SEQUENCE:HASH", help="a receipt that has to be in the chain")
    arguments = parser.parse_args()
    try:
        source = sys.stdin.buffer if arguments.journal == "-" else Path(arguments.journal).open("rb")  # noqa: SIM115  read to the end
    except OSError as error:
        print(f"could not be checked: {error}", file=sys.stderr)
        return 2
    findings = check((line for line in source if line.strip()), arguments.head)
    while True:
        try:
            finding = next(findings)
        except StopIteration as end:
            sequence, hash_ = end.value
            break
        print(f"TAMPERED: {finding}", file=sys.stderr)
        return 1
    if not sequence:
        print("could not be checked: there is no entry", file=sys.stderr)
        return 2
    print(f"sound: {sequence} entries, head {sequence}:{hash_}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
