"""`python -m cashman.migrations check`: whether a database made by the migrations is the one that the models mean."""

import os
import sys

from cashman import config, db, migrations


def main(arguments: list[str]) -> int:
    """Bring the database of CASHMAN_DATABASE_URL up to date and compare; 0: they agree, 1: they do not."""
    if arguments != ["check"]:
        print("usage: python -m cashman.migrations check", file=sys.stderr)
        return 2
    database = db.connect(config.load(os.environ).database_url)
    database.open()
    with database.engine.connect() as connection:
        differences = migrations.drift(connection, db.Base.metadata)
    database.close()
    for difference in differences:
        print(f"drift: {difference}", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
