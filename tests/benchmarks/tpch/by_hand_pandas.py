"""The medallion of tpch.yaml as a good engineer would write it by hand with pandas.

    python by_hand_pandas.py DATA OUT

Reads the eight CSV files in DATA, typed, and writes 22 Delta tables to ``OUT/<layer>/<table>``. Columns are
Arrow's, which is faster here than NumPy's and keeps decimals exact; decimals are summed by pyarrow, because
pandas' own groupby adds them one Python object after the other. Nothing of odibi is used.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from by_hand import BRONZE

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Frame = pd.DataFrame


class Medallion:
    """The tables, each computed once from those before it."""

    def __init__(self, data: Path, out: Path) -> None:
        self.data = data
        self.out = out
        self.tables: dict[str, Frame] = {}

    def run(self) -> None:
        for name, columns in BRONZE.items():
            self.write("bronze", f"raw_{name}", read(self.data / f"{name}.csv", columns))
        for layer, makers in (("silver", SILVER), ("gold", GOLD)):
            for make in makers:
                self.write(layer, make.__name__, make(self.tables))

    def write(self, layer: str, name: str, table: Frame) -> None:
        from deltalake import write_deltalake

        self.tables[name] = table = table.reset_index(drop=True)
        write_deltalake(str(self.out / layer / name), table)


def arrow(kind: str) -> pa.DataType:
    """The Arrow type of a column in BRONZE."""
    import pyarrow as pa

    if kind.startswith("DECIMAL"):
        return decimal(15, 2)
    return {"INTEGER": pa.int32(), "BIGINT": pa.int64(), "VARCHAR": pa.string(), "DATE": pa.date32()}[kind]


def decimal(precision: int, scale: int) -> pa.DataType:
    import pyarrow as pa

    return pa.decimal128(precision, scale)


def read(file: Path, columns: str) -> Frame:
    from pyarrow import csv

    types = {name: arrow(kind) for name, kind in (column.split() for column in columns.split(", "))}
    return framed(csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=types)))


def framed(table: pa.Table) -> Frame:
    import pandas as pd

    return table.to_pandas(types_mapper=pd.ArrowDtype)


def cast(column: Any, kind: Any) -> Any:
    import pandas as pd

    return column.astype(pd.ArrowDtype(kind))


def summed(table: Frame, by: list[str], **columns: tuple[str, str, pa.DataType]) -> Frame:
    """Aggregates by group, each ``name=(column, function, type)``."""
    import pyarrow as pa

    needed = list(dict.fromkeys([*by, *(column for column, _, _ in columns.values())]))
    rows = pa.Table.from_pandas(table[needed], preserve_index=False)
    grouped = rows.group_by(by).aggregate([(column, how) for column, how, _ in columns.values()])
    made = {name: grouped[name] for name in by}
    for name, (column, how, kind) in columns.items():
        made[name] = grouped[f"{column}_{how}"].cast(kind)
    return framed(pa.table(made))


# --- silver ----------------------------------------------------------------------------------------


def places(tables: dict[str, Frame]) -> Frame:
    nations = tables["raw_nation"].merge(
        tables["raw_region"], left_on="n_regionkey", right_on="r_regionkey", suffixes=("", "_r")
    )
    return nations[["n_nationkey", "n_name", "r_name"]].rename(
        columns={"n_name": "nation", "r_name": "region"}
    )


def customers(tables: dict[str, Frame]) -> Frame:
    import pandas as pd
    import pyarrow as pa

    rows = tables["raw_customer"].merge(places(tables), left_on="c_nationkey", right_on="n_nationkey")
    return pd.DataFrame(
        {
            "customer_id": rows["c_custkey"],
            "customer": rows["c_name"].str.strip(" "),
            "address": rows["c_address"].str.strip(" "),
            "nation": rows["nation"],
            "region": rows["region"],
            "phone": rows["c_phone"],
            "country_code": cast(rows["c_phone"].str.slice(0, 2), pa.int32()),
            "balance": rows["c_acctbal"],
            "segment": rows["c_mktsegment"].str.lower(),
            "comment": rows["c_comment"],
        }
    )


def suppliers(tables: dict[str, Frame]) -> Frame:
    import pandas as pd

    rows = tables["raw_supplier"].merge(places(tables), left_on="s_nationkey", right_on="n_nationkey")
    return pd.DataFrame(
        {
            "supplier_id": rows["s_suppkey"],
            "supplier": rows["s_name"].str.strip(" "),
            "address": rows["s_address"].str.strip(" "),
            "nation": rows["nation"],
            "region": rows["region"],
            "phone": rows["s_phone"],
            "balance": rows["s_acctbal"],
            "has_complaints": rows["s_comment"].str.contains("Customer.*Complaints"),
        }
    )


def parts(tables: dict[str, Frame]) -> Frame:
    import pandas as pd
    import pyarrow as pa

    rows = tables["raw_part"]
    rows = rows[rows["p_size"] > 0]
    kinds = rows["p_type"].str.split(" ", n=2, expand=True)
    return pd.DataFrame(
        {
            "part_id": rows["p_partkey"],
            "part": rows["p_name"].str.strip(" "),
            "manufacturer": cast(rows["p_mfgr"].str.replace("Manufacturer#", "", regex=False), pa.int32()),
            "brand": cast(rows["p_brand"].str.replace("Brand#", "", regex=False), pa.int32()),
            "grade": kinds[0],
            "finish": kinds[1],
            "material": kinds[2],
            "size": rows["p_size"],
            "container": rows["p_container"].str.lower(),
            "retail_price": rows["p_retailprice"],
        }
    )


def offers(tables: dict[str, Frame]) -> Frame:
    import pandas as pd

    rows = tables["raw_partsupp"].sort_values(
        ["ps_supplycost", "ps_availqty", "ps_comment"], ascending=[True, False, True]
    )
    rows = rows.drop_duplicates(["ps_partkey", "ps_suppkey"])
    rows = rows.merge(tables["suppliers"], left_on="ps_suppkey", right_on="supplier_id")
    rows = rows.merge(tables["parts"], left_on="ps_partkey", right_on="part_id")
    return pd.DataFrame(
        {
            "part_id": rows["ps_partkey"],
            "supplier_id": rows["ps_suppkey"],
            "supplier": rows["supplier"],
            "supplier_nation": rows["nation"],
            "part": rows["part"],
            "brand": rows["brand"],
            "material": rows["material"],
            "available": rows["ps_availqty"],
            "cost": rows["ps_supplycost"],
            "stock_value": cast(
                rows["ps_supplycost"] * cast(rows["ps_availqty"], decimal(19, 0)), decimal(34, 2)
            ),
        }
    )


def orders(tables: dict[str, Frame]) -> Frame:
    import pandas as pd
    import pyarrow as pa

    rows = tables["raw_orders"]
    rows = rows[rows["o_totalprice"] > 0].sort_values(
        ["o_orderdate", "o_totalprice", "o_clerk"], ascending=[False, False, True]
    )
    rows = rows.drop_duplicates("o_orderkey")
    status = rows["o_orderstatus"].map({"F": "finished", "O": "open", "P": "partly"})
    return pd.DataFrame(
        {
            "order_id": rows["o_orderkey"],
            "customer_id": rows["o_custkey"],
            "status": cast(status, pa.string()),
            "total_price": rows["o_totalprice"],
            "ordered_on": rows["o_orderdate"],
            "priority": cast(rows["o_orderpriority"].str.slice(0, 1), pa.int32()),
            "clerk": cast(rows["o_clerk"].str.replace("Clerk#", "", regex=False), pa.int32()),
            "comment": rows["o_comment"],
        }
    )


def order_lines(tables: dict[str, Frame]) -> Frame:
    import pandas as pd

    rows = tables["raw_lineitem"]
    rows = rows[rows["l_quantity"] > 0].drop(columns=["l_shipinstruct", "l_comment"])
    of_order = tables["orders"][["order_id", "customer_id", "ordered_on"]]
    rows = rows.merge(of_order, left_on="l_orderkey", right_on="order_id")
    revenue = cast(rows["l_extendedprice"] * cast(1 - rows["l_discount"], decimal(3, 2)), decimal(18, 4))
    return pd.DataFrame(
        {
            "order_id": rows["order_id"],
            "line": rows["l_linenumber"],
            "part_id": rows["l_partkey"],
            "supplier_id": rows["l_suppkey"],
            "customer_id": rows["customer_id"],
            "ordered_on": rows["ordered_on"],
            "shipped_on": rows["l_shipdate"],
            "received_on": rows["l_receiptdate"],
            "is_late": rows["l_receiptdate"] > rows["l_commitdate"],
            "is_returned": rows["l_returnflag"] == "R",
            "return_flag": rows["l_returnflag"],
            "line_status": rows["l_linestatus"],
            "ship_mode": rows["l_shipmode"].str.lower(),
            "quantity": rows["l_quantity"],
            "discount": rows["l_discount"],
            "price": rows["l_extendedprice"],
            "revenue": revenue,
            "charge": cast(revenue * cast(1 + rows["l_tax"], decimal(3, 2)), decimal(18, 6)),
        }
    )


# --- gold ------------------------------------------------------------------------------------------


def pricing_summary(tables: dict[str, Frame]) -> Frame:
    import pyarrow as pa

    lines = tables["order_lines"]
    needed = ["return_flag", "line_status", "discount", *SUMS]
    lines = lines.loc[lines["shipped_on"] <= day(1998, 9, 2), needed]
    sums = {name: (name, "sum", decimal(38, scale)) for name, scale in SUMS.items()}
    made = summed(
        lines,
        ["return_flag", "line_status"],
        **sums,
        discounts=("discount", "sum", decimal(38, 2)),
        lines=("quantity", "count", pa.int64()),
    )
    for name, total in (("quantity", "quantity"), ("price", "price"), ("discount", "discounts")):
        made[f"average_{name}"] = double(made[total]) / double(made["lines"])
    columns = [*SUMS, "average_quantity", "average_price", "average_discount", "lines"]
    return made[["return_flag", "line_status", *columns]]


SUMS = {"quantity": 2, "price": 2, "revenue": 4, "charge": 6}


def shipping_priority(tables: dict[str, Frame]) -> Frame:
    lines, people = tables["order_lines"], tables["customers"]
    lines = lines[(lines["ordered_on"] < day(1995, 3, 15)) & (lines["shipped_on"] > day(1995, 3, 15))]
    chosen = people.loc[people["segment"] == "building", ["customer_id"]]
    lines = lines[["order_id", "customer_id", "ordered_on", "revenue"]].merge(chosen, on="customer_id")
    return summed(lines, ["order_id", "ordered_on"], revenue=("revenue", "sum", decimal(38, 4)))


def order_priority(tables: dict[str, Frame]) -> Frame:
    import pyarrow as pa

    lines, rows = tables["order_lines"], tables["orders"]
    rows = rows[rows["order_id"].isin(lines.loc[lines["is_late"], "order_id"])]
    rows = rows.assign(
        year=cast(rows["ordered_on"].dt.year, pa.int64()),
        quarter=cast(rows["ordered_on"].dt.quarter, pa.int64()),
    )
    return summed(
        rows,
        ["year", "quarter", "priority"],
        orders=("order_id", "count", pa.int64()),
        total_price=("total_price", "sum", decimal(38, 2)),
    )


def local_supplier_volume(tables: dict[str, Frame]) -> Frame:
    import pyarrow as pa

    rows = with_nations(tables)
    rows = rows[rows["nation"] == rows["supplier_nation"]]
    revenue = ("revenue", "sum", decimal(38, 4))
    return summed(
        rows, ["region", "nation", "year"], revenue=revenue, lines=("supplier_id", "count", pa.int64())
    )


def market_share(tables: dict[str, Frame]) -> Frame:
    made = summed(
        with_nations(tables),
        ["region", "year", "supplier_nation"],
        revenue=("revenue", "sum", decimal(38, 4)),
    )
    whole = summed(made, ["region", "year"], whole=("revenue", "sum", decimal(38, 4)))
    made = made.merge(whole, on=["region", "year"])
    made["share"] = double(made["revenue"]) / double(made["whole"])
    return made.drop(columns="whole")


def with_nations(tables: dict[str, Frame]) -> Frame:
    """Revenue with region and nation of the customer, nation of the supplier, and the year."""
    import pyarrow as pa

    lines = tables["order_lines"][["customer_id", "supplier_id", "ordered_on", "revenue"]]
    of_supplier = tables["suppliers"][["supplier_id", "nation"]].rename(columns={"nation": "supplier_nation"})
    rows = lines.merge(tables["customers"][["customer_id", "region", "nation"]], on="customer_id")
    rows = rows.merge(of_supplier, on="supplier_id")
    return rows.assign(year=cast(rows["ordered_on"].dt.year, pa.int64()))


def product_profit(tables: dict[str, Frame]) -> Frame:
    import pyarrow as pa

    green = tables["offers"]
    green = green.loc[
        green["part"].str.contains("green", regex=False),
        ["part_id", "supplier_id", "supplier_nation", "cost"],
    ]
    lines = tables["order_lines"][["part_id", "supplier_id", "ordered_on", "quantity", "revenue"]]
    rows = lines.merge(green, on=["part_id", "supplier_id"])
    rows = rows.assign(
        year=cast(rows["ordered_on"].dt.year, pa.int64()),
        profit=cast(rows["revenue"], decimal(31, 4)) - rows["cost"] * rows["quantity"],
    )
    return summed(rows, ["supplier_nation", "year"], profit=("profit", "sum", decimal(38, 4)))


def returned_items(tables: dict[str, Frame]) -> Frame:
    import pyarrow as pa

    lines = tables["order_lines"]
    chosen = (
        lines["is_returned"]
        & (lines["ordered_on"] >= day(1993, 10, 1))
        & (lines["ordered_on"] < day(1994, 1, 1))
    )
    sums = summed(lines[chosen], ["customer_id"], revenue=("revenue", "sum", decimal(38, 4)))
    rows = tables["customers"][["customer_id", "customer", "nation", "balance"]].merge(sums, on="customer_id")
    # Doubles hold these sums exactly enough to rank them; decimals are ranked as Python objects.
    position = double(rows["revenue"]).rank(method="min", ascending=False)
    return rows.assign(position=cast(position, pa.int64()))


def customer_distribution(tables: dict[str, Frame]) -> Frame:
    import pyarrow as pa

    rows = tables["orders"]
    rows = rows[~rows["comment"].str.contains("special.*requests")]
    known = summed(rows, ["customer_id"], orders=("order_id", "count", pa.int64()))
    made = tables["customers"][["customer_id"]].merge(known, on="customer_id", how="left")
    made["orders"] = made["orders"].fillna(0)
    return summed(made, ["orders"], customers=("customer_id", "count", pa.int64()))


def day(year: int, month: int, number: int) -> Any:
    from datetime import date

    return date(year, month, number)


def double(column: Any) -> Any:
    import pyarrow as pa

    return cast(column, pa.float64())


SILVER = (customers, suppliers, parts, offers, orders, order_lines)
GOLD = (
    pricing_summary,
    shipping_priority,
    order_priority,
    local_supplier_volume,
    market_share,
    product_profit,
    returned_items,
    customer_distribution,
)

if __name__ == "__main__":
    Medallion(Path(sys.argv[1]), Path(sys.argv[2])).run()
