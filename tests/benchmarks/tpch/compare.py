"""Whether odibi and by_hand.py wrote the same tables: ``python compare.py ODIBI_LAKE BY_HAND_OUT``.

Equal means the same columns and types, the same number of rows and the same digest of all rows, with
doubles at 12 significant digits. Prints one line; the exit code is 1 if any table differs.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(odibi: Path, by_hand: Path) -> int:
    import duckdb
    from deltalake import DeltaTable

    con = duckdb.connect()

    def content(files: list[str]) -> tuple[object, ...]:
        source = f"read_parquet({files})"
        columns = [(row[0], row[1]) for row in con.execute(f"describe from {source}").fetchall()]
        values = [f"format('{{:.11e}}', \"{c}\")" if t == "DOUBLE" else f'"{c}"' for c, t in columns]
        query = f"select count(*), sum(hash({', '.join(values)})) from {source}"
        return columns, *con.execute(query).fetchall()[0]

    def files(table: Path) -> list[str]:
        delta = (table / "_delta_log").is_dir()
        return DeltaTable(str(table)).file_uris() if delta else [str(table / "part-0.parquet")]

    tables = sorted(path for path in by_hand.glob("*/*") if path.parent.name in {"bronze", "silver", "gold"})
    wrong = []
    for table in tables:
        name = f"{table.parent.name}/{table.name}"
        ours, theirs = content(files(odibi / name)), content(files(table))
        if ours != theirs:
            wrong.append(f"{name}: odibi has {ours}, by hand it is {theirs}")
    print("\n".join([f"{len(tables) - len(wrong)} of {len(tables)} tables are equal", *wrong]))
    return 1 if wrong or not tables else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
