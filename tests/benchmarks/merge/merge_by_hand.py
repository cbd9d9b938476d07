"""Changes merged into a Delta table by plain library calls, as the engine's own users do it.

    python merge_by_hand.py make FOLDER [ROWS]                      # FOLDER/2026-01-01.parquet and 2026-01-02.parquet
    python merge_by_hand.py duckdb|pandas|spark CHANGES TABLE

The first day has 2,000,000 rows; of the 250,000 of the second four fifths change every tenth row, so that no file
of the table is left alone, and one fifth are new. DuckDB and pandas have deltalake's merge, Spark its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROWS = """
select
    id,
    'customer ' || hash(id, {salt}) % 100_000 as customer,
    cast(hash(id, {salt}, 1) % 1_000_000 / 100 as decimal(12, 2)) as amount,
    cast(hash(id, {salt}, 2) % 100 as integer) as quantity,
    hash(id, {salt}, 3) / 1e12 as weight,
    date '2020-01-01' + cast(hash(id, {salt}, 4) % 2_000 as integer) as day,
    'a comment of some length ' || hash(id, {salt}, 5) as comment
from ({ids})
"""


def make(folder: Path, rows: int) -> None:
    """The rows of both days, always the same."""
    import duckdb

    base = f"select range as id from range({rows})"
    changed = (
        "select 10 * range as id from range(200_000) union all select 2_000_000 + range from range(50_000)"
    )
    for salt, ids in enumerate((base, changed), start=1):
        file = folder / f"2026-01-0{salt}.parquet"
        duckdb.sql(f"copy ({ROWS.format(ids=ids, salt=salt)}) to '{file}' (format parquet)")


def merge(changes: object, table: str) -> None:
    from deltalake import DeltaTable

    merger = DeltaTable(table).merge(changes, "target.id = source.id", "source", "target")
    merger.when_matched_update_all().when_not_matched_insert_all().execute()


def by_duckdb(changes: str, table: str) -> None:
    import duckdb

    merge(duckdb.sql(f"from '{changes}'").to_arrow_table(), table)


def by_pandas(changes: str, table: str) -> None:
    import pandas as pd

    merge(pd.read_parquet(changes, dtype_backend="pyarrow"), table)


def by_spark(changes: str, table: str) -> None:
    sys.path.append(str(Path(__file__).parents[1] / "tpch"))
    from by_hand_spark import session

    spark = session(Path(table).parents[2])
    spark.read.parquet(changes).createOrReplaceTempView("changes")
    spark.sql(
        f"merge into delta.`{table}` as target using changes on target.id = changes.id "
        "when matched then update set * when not matched then insert *"
    )
    spark.stop()


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2_000_000)
    else:
        by = {"duckdb": by_duckdb, "pandas": by_pandas, "spark": by_spark}[sys.argv[1]]
        by(sys.argv[2], sys.argv[3])
