"""Writes what the package brings for `homezoo demo`: the facts as tables, which need no rdflib.

python recipes/zookeeper/tables.py
"""

import csv
import shutil
from pathlib import Path

from world import HERE, Facts, read_world

BUNDLED = HERE.parent.parent / "src" / "homezoo" / "bundled" / "zookeeper"
ZOO = "https://homezoo.example/zoo#"


def write_table(path: Path, facts: Facts) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("subject", "predicate", "object"))
        for animal, of in facts.items():
            rows.writerows((animal, ZOO + relation, value) for relation, value in of.items())


def main() -> None:
    BUNDLED.mkdir(parents=True, exist_ok=True)
    write_table(BUNDLED / "known.csv", read_world())
    write_table(BUNDLED / "news.csv", read_world(HERE / "news.ttl"))
    shutil.copyfile(HERE / "relations.toml", BUNDLED / "relations.toml")


if __name__ == "__main__":
    main()
