"""Harnesses that try to break the promises: each is `python -m torture.<name> --help`, seeded, and exits 0 only
when the promise held. Short runs of them are part of the tests; long ones stand in RESULTS.md.
"""  # fmt: skip
