"""What a lock installs, as a software bill of materials in CycloneDX: python tools/sbom.py Pipfile.lock

It says what stands in the lock and nothing else, so that the same lock gives the same bytes; in the standard library
alone, so that the image can be built without what only makes lists. The lock holds a hash for each file that may be
installed: they stand as evidence of the package, because which one it is depends on the machine.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

CATEGORIES: Final = ("default", "fast")
"""What the image has of the lock: what serves, and gunicorn's C parser."""


def components(lock: dict[str, Any]) -> list[dict[str, Any]]:
    """Every package, once, by name."""
    packages = {name: package for category in CATEGORIES for name, package in lock[category].items()}
    return [_component(name, package) for name, package in sorted(packages.items())]


def _component(name: str, package: dict[str, Any]) -> dict[str, Any]:
    version = package["version"].removeprefix("==")
    purl = f"pkg:pypi/{re.sub('[-_.]+', '-', name).lower()}@{version}"
    files = [
        {
            "type": "distribution",
            "url": purl,
            "hashes": [{"alg": "SHA-256", "content": hash_.removeprefix("sha256:")}],
        }
        for hash_ in sorted(package["hashes"])
    ]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "externalReferences": files,
    }


def bill(lock: dict[str, Any]) -> dict[str, Any]:
    """The whole document; it has no time and no serial number, which would differ each time."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "cashman", "name": "cashman"}},
        "components": components(lock),
    }


if __name__ == "__main__":
    (path,) = sys.argv[1:]
    json.dump(bill(json.loads(Path(path).read_text("utf-8"))), sys.stdout, indent=1)
    print()
