"""The medallion of tpch.yaml as a good engineer would write it by hand, for DuckDB alone.

    python by_hand.py DATA OUT [--delta]

Reads the eight CSV files in DATA, typed, and writes 22 tables as ``OUT/<layer>/<table>/part-0.parquet``.
With ``--delta`` each of them is committed as a Delta table as well. Nothing of odibi is used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

BRONZE = {
    "region": "r_regionkey INTEGER, r_name VARCHAR, r_comment VARCHAR",
    "nation": "n_nationkey INTEGER, n_name VARCHAR, n_regionkey INTEGER, n_comment VARCHAR",
    "supplier": "s_suppkey BIGINT, s_name VARCHAR, s_address VARCHAR, s_nationkey INTEGER, s_phone VARCHAR,"
    " s_acctbal DECIMAL(15,2), s_comment VARCHAR",
    "customer": "c_custkey BIGINT, c_name VARCHAR, c_address VARCHAR, c_nationkey INTEGER, c_phone VARCHAR,"
    " c_acctbal DECIMAL(15,2), c_mktsegment VARCHAR, c_comment VARCHAR",
    "part": "p_partkey BIGINT, p_name VARCHAR, p_mfgr VARCHAR, p_brand VARCHAR, p_type VARCHAR, p_size INTEGER,"
    " p_container VARCHAR, p_retailprice DECIMAL(15,2), p_comment VARCHAR",
    "partsupp": "ps_partkey BIGINT, ps_suppkey BIGINT, ps_availqty BIGINT, ps_supplycost DECIMAL(15,2),"
    " ps_comment VARCHAR",
    "orders": "o_orderkey BIGINT, o_custkey BIGINT, o_orderstatus VARCHAR, o_totalprice DECIMAL(15,2),"
    " o_orderdate DATE, o_orderpriority VARCHAR, o_clerk VARCHAR, o_shippriority INTEGER, o_comment VARCHAR",
    "lineitem": "l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber INTEGER,"
    " l_quantity DECIMAL(15,2), l_extendedprice DECIMAL(15,2), l_discount DECIMAL(15,2), l_tax DECIMAL(15,2),"
    " l_returnflag VARCHAR, l_linestatus VARCHAR, l_shipdate DATE, l_commitdate DATE, l_receiptdate DATE,"
    " l_shipinstruct VARCHAR, l_shipmode VARCHAR, l_comment VARCHAR",
}
SILVER = ("customers", "suppliers", "parts", "offers", "orders", "order_lines")
GOLD = (
    "pricing_summary",
    "shipping_priority",
    "order_priority",
    "local_supplier_volume",
    "market_share",
    "product_profit",
    "returned_items",
    "customer_distribution",
)


def main(data: Path, out: Path, delta: bool) -> None:
    import duckdb

    here = Path(__file__).parent
    con = duckdb.connect(config={"preserve_insertion_order": "false", "temp_directory": str(out / "spill")})

    def write(layer: str, table: str, query: str) -> None:
        folder = out / layer / table
        folder.mkdir(parents=True)
        part = folder / "part-0.parquet"
        rows = con.execute(f"copy ({query}) to '{part}' (format parquet)").fetchall()[0][0]
        con.execute(f"create view {table} as from '{part}'")
        if delta:
            commit(part, rows, con.execute(f"describe {table}").fetchall())

    for table, columns in BRONZE.items():
        types = ", ".join("'{}': '{}'".format(*column.split()) for column in columns.split(", "))
        source = (
            f"read_csv('{data}/{table}.csv', header = true, delim = ',', quote = '\"', columns = {{{types}}})"
        )
        write("bronze", f"raw_{table}", f"from {source}")
    for layer, tables in (("silver", SILVER), ("gold", GOLD)):
        for table in tables:
            write(layer, table, (here / layer / f"{table}.sql").read_text())
    con.close()


def commit(part: Path, rows: int, columns: list[tuple[str, ...]]) -> None:
    """Make the folder of a written part a Delta table; ``columns`` as ``describe`` tells them."""
    from deltalake import Schema
    from deltalake.schema import Field, PrimitiveType
    from deltalake.transaction import AddAction, create_table_with_add_actions

    named = {"bigint": "long", "varchar": "string"}
    schema = Schema([Field(c[0], PrimitiveType(named.get(c[1].lower(), c[1].lower()))) for c in columns])
    stat = part.stat()
    stats = json.dumps({"numRecords": rows})
    action = AddAction(part.name, stat.st_size, {}, int(stat.st_mtime * 1000), True, stats)
    create_table_with_add_actions(str(part.parent), schema, [action])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "--delta" in sys.argv[3:])
