"""COUNT one-row Delta tables by plain library calls: ``python steps_by_hand.py COUNT OUT``.

For each table what odibi's committer cannot do without: a COPY to Parquet and the creation of the table.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(count: int, out: Path) -> None:
    import duckdb
    from deltalake import Schema
    from deltalake.schema import Field, PrimitiveType
    from deltalake.transaction import AddAction, create_table_with_add_actions

    con = duckdb.connect()
    schema = Schema([Field("id", PrimitiveType("integer")), Field("label", PrimitiveType("string"))])
    for number in range(count):
        folder = out / f"step_{number}"
        folder.mkdir(parents=True)
        part = folder / "part-0.parquet"
        query = f"select {number} as id, 'step {number}' as label"
        rows = con.execute(f"copy ({query}) to '{part}' (format parquet)").fetchall()[0][0]
        stats = json.dumps({"numRecords": rows})
        action = AddAction(part.name, part.stat().st_size, {}, int(time.time() * 1000), True, stats)
        create_table_with_add_actions(str(folder), schema, [action])
    con.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
