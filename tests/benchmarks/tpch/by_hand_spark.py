"""The medallion of tpch.yaml as a good engineer would write it by hand for Spark on one machine.

    python by_hand_spark.py DATA OUT

Reads the eight CSV files in DATA, typed, and writes 22 Delta tables to ``OUT/<layer>/<table>`` with delta-spark,
each read back by those that need it. The session is set as odibi sets its own where the settings matter for
speed. Nothing of odibi is used but the place of Delta's jars.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from by_hand import BRONZE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


SILVER = {
    "customers": """
        select c_custkey as customer_id, trim(c_name) as customer, trim(c_address) as address, n_name as nation,
            r_name as region, c_phone as phone, cast(left(c_phone, 2) as int) as country_code,
            c_acctbal as balance, lower(c_mktsegment) as segment, c_comment as comment
        from raw_customer
        join raw_nation on n_nationkey = c_nationkey
        join raw_region on r_regionkey = n_regionkey""",
    "suppliers": """
        select s_suppkey as supplier_id, trim(s_name) as supplier, trim(s_address) as address, n_name as nation,
            r_name as region, s_phone as phone, s_acctbal as balance,
            s_comment like '%Customer%Complaints%' as has_complaints
        from raw_supplier
        join raw_nation on n_nationkey = s_nationkey
        join raw_region on r_regionkey = n_regionkey""",
    "parts": """
        select p_partkey as part_id, trim(p_name) as part,
            cast(replace(p_mfgr, 'Manufacturer#', '') as int) as manufacturer,
            cast(replace(p_brand, 'Brand#', '') as int) as brand, split_part(p_type, ' ', 1) as grade,
            split_part(p_type, ' ', 2) as finish, split_part(p_type, ' ', 3) as material, p_size as size,
            lower(p_container) as container, p_retailprice as retail_price
        from raw_part
        where p_size > 0""",
    "offers": """
        select ps_partkey as part_id, ps_suppkey as supplier_id, supplier, nation as supplier_nation, part, brand,
            material, ps_availqty as available, ps_supplycost as cost,
            cast(ps_supplycost * ps_availqty as decimal(34, 2)) as stock_value
        from (select *, row_number() over (
                partition by ps_partkey, ps_suppkey
                order by ps_supplycost, ps_availqty desc, ps_comment) as nth from raw_partsupp)
        join suppliers on supplier_id = ps_suppkey
        join parts on part_id = ps_partkey
        where nth = 1""",
    "orders": """
        select o_orderkey as order_id, o_custkey as customer_id,
            case o_orderstatus when 'F' then 'finished' when 'O' then 'open' else 'partly' end as status,
            o_totalprice as total_price, o_orderdate as ordered_on,
            cast(left(o_orderpriority, 1) as int) as priority,
            cast(replace(o_clerk, 'Clerk#', '') as int) as clerk, o_comment as comment
        from (select *, row_number() over (
                partition by o_orderkey
                order by o_orderdate desc, o_totalprice desc, o_clerk) as nth from raw_orders where o_totalprice > 0)
        where nth = 1""",
    "order_lines": """
        select l_orderkey as order_id, l_linenumber as line, l_partkey as part_id, l_suppkey as supplier_id,
            customer_id, ordered_on, l_shipdate as shipped_on, l_receiptdate as received_on,
            l_receiptdate > l_commitdate as is_late, l_returnflag = 'R' as is_returned,
            l_returnflag as return_flag, l_linestatus as line_status, lower(l_shipmode) as ship_mode,
            l_quantity as quantity, l_discount as discount, l_extendedprice as price,
            cast(l_extendedprice * (1 - l_discount) as decimal(18, 4)) as revenue,
            cast(l_extendedprice * (1 - l_discount) * (1 + l_tax) as decimal(18, 6)) as charge
        from raw_lineitem
        join orders on order_id = l_orderkey
        where l_quantity > 0""",
}
GOLD = {
    "pricing_summary": """
        select return_flag, line_status, cast(sum(quantity) as decimal(38, 2)) as quantity,
            cast(sum(price) as decimal(38, 2)) as price, cast(sum(revenue) as decimal(38, 4)) as revenue,
            cast(sum(charge) as decimal(38, 6)) as charge, double(sum(quantity)) / count(*) as average_quantity,
            double(sum(price)) / count(*) as average_price,
            double(sum(discount)) / count(*) as average_discount, count(*) as lines
        from order_lines
        where shipped_on <= date '1998-09-02'
        group by all""",
    "shipping_priority": """
        select order_id, ordered_on, cast(sum(revenue) as decimal(38, 4)) as revenue
        from order_lines
        join customers using (customer_id)
        where segment = 'building' and ordered_on < date '1995-03-15' and shipped_on > date '1995-03-15'
        group by all""",
    "order_priority": """
        select bigint(year(ordered_on)) as year, bigint(quarter(ordered_on)) as quarter, priority,
            count(*) as orders, cast(sum(total_price) as decimal(38, 2)) as total_price
        from orders
        where order_id in (select order_id from order_lines where is_late)
        group by all""",
    "local_supplier_volume": """
        select customers.region, customers.nation, bigint(year(ordered_on)) as year,
            cast(sum(revenue) as decimal(38, 4)) as revenue, count(*) as lines
        from order_lines
        join customers on customers.customer_id = order_lines.customer_id
        join suppliers on suppliers.supplier_id = order_lines.supplier_id and suppliers.nation = customers.nation
        group by all""",
    "market_share": """
        with volume as (
            select customers.region, bigint(year(ordered_on)) as year, suppliers.nation as supplier_nation,
                cast(sum(revenue) as decimal(38, 4)) as revenue
            from order_lines
            join customers on customers.customer_id = order_lines.customer_id
            join suppliers on suppliers.supplier_id = order_lines.supplier_id
            group by all)
        select *, double(revenue) / double(sum(revenue) over (partition by region, year)) as share
        from volume""",
    "product_profit": """
        select supplier_nation, bigint(year(ordered_on)) as year,
            cast(sum(revenue - cost * quantity) as decimal(38, 4)) as profit
        from order_lines
        join offers using (part_id, supplier_id)
        where part like '%green%'
        group by all""",
    "returned_items": """
        select *, bigint(rank() over (order by revenue desc)) as position
        from (
            select customer_id, customer, nation, balance, cast(sum(revenue) as decimal(38, 4)) as revenue
            from order_lines
            join customers using (customer_id)
            where is_returned and ordered_on >= date '1993-10-01' and ordered_on < date '1994-01-01'
            group by all)""",
    "customer_distribution": """
        select orders, count(*) as customers
        from (
            select customers.customer_id, count(order_id) as orders
            from customers
            left join orders on orders.customer_id = customers.customer_id
                and orders.comment not like '%special%requests%'
            group by all)
        group by all""",
}


def main(data: Path, out: Path) -> None:
    spark = session(out)

    def write(layer: str, table: str, rows: object) -> None:
        place = str(out / layer / table)
        rows.write.format("delta").save(place)
        spark.read.format("delta").load(place).createOrReplaceTempView(table)

    for table, columns in BRONZE.items():
        file = str(data / f"{table}.csv")
        types = columns.replace("VARCHAR", "STRING")
        write("bronze", f"raw_{table}", spark.read.csv(file, types, header=True, escape='"', mode="FAILFAST"))
    for layer, queries in (("silver", SILVER), ("gold", GOLD)):
        for table, query in queries.items():
            write(layer, table, spark.sql(query))
    spark.stop()


def session(out: Path) -> SparkSession:
    """A session on all cores with Delta Lake, set for one machine."""
    from pyspark.sql import SparkSession

    from odibi.engines.jars import delta_jars

    settings = {
        "spark.jars": ",".join(map(str, delta_jars())),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.shuffle.partitions": str(os.cpu_count() or 1),
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(out),
        "spark.sql.warehouse.dir": str(out / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master("local[*]").appName("by hand")
    return builder.config(map=settings).getOrCreate()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
