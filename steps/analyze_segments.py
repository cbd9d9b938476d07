"""Sums up customer segments: a program that odibi starts as a step, ``command: [python, analyze_segments.py]``.

It reads the one input it is given, a Parquet file with ``segment`` and ``net_eur``, and writes a row for
each segment. Of several workers (``TOTAL_WORKERS``, ``WORKER_INDEX`` from 0) each takes segments of its own.
"""

from __future__ import annotations

import os
from decimal import Decimal
from zlib import crc32


def main() -> None:
    """Read the input, sum up the segments that are this worker's, write the output."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (source,) = [path for name, path in os.environ.items() if name.startswith("ODIBI_INPUT_")]
    workers, mine = int(os.environ.get("TOTAL_WORKERS", "1")), int(os.environ.get("WORKER_INDEX", "0"))
    spent: dict[str, list[Decimal]] = {}
    for row in pq.read_table(source, columns=["segment", "net_eur"]).to_pylist():
        if crc32(row["segment"].encode()) % workers == mine:
            spent.setdefault(row["segment"], []).append(Decimal(row["net_eur"] or 0))
    rows = [
        {
            "segment": segment,
            "customers": len(amounts),
            "net_eur": sum(amounts),
            "most_eur": max(amounts),
        }
        for segment, amounts in sorted(spent.items())
    ]
    money = pa.decimal128(18, 2)
    fields = [
        pa.field("segment", pa.string()),
        pa.field("customers", pa.int64()),
        pa.field("net_eur", money),
        pa.field("most_eur", money),
    ]
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(fields)), os.environ["ODIBI_OUTPUT"])
    print(f"{len(rows)} segments of {sum(map(len, spent.values()))} customers")  # noqa: T201 - shown by the run


if __name__ == "__main__":
    main()
