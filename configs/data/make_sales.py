"""Make the sales of three days, a Parquet file for each: the committed files in ``configs/data/sales_by_day``.

python configs/data/make_sales.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
SALES = 40


def make(folder: Path) -> None:
    """Write the files below ``folder``."""
    import duckdb

    folder.mkdir(parents=True, exist_ok=True)
    for number, day in enumerate(DAYS):
        query = f"""
            SELECT {number * SALES} + i AS sale_id,
                   'p' || (i * (7 + {number}) % 5) AS product_id,
                   CAST((i * 37 + {number} * 11) % 90 + 0.99 AS DECIMAL(10, 2)) AS amount,
                   TIMESTAMP '{day} 08:00:00' + INTERVAL (i * 13) MINUTE AS sold_at
            FROM range({SALES}) AS sales(i)
            ORDER BY sale_id
        """
        duckdb.sql(f"COPY ({query}) TO '{folder / day}.parquet' (FORMAT parquet)")


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "configs/data/sales_by_day"))
