-- One offer per part and supplier: the cheapest, then the one with most in stock.
select
    ps_partkey as part_id,
    ps_suppkey as supplier_id,
    supplier,
    nation as supplier_nation,
    part,
    brand,
    material,
    ps_availqty as available,
    ps_supplycost as cost,
    ps_supplycost * ps_availqty as stock_value
from raw_partsupp
join suppliers on supplier_id = ps_suppkey
join parts on part_id = ps_partkey
qualify row_number() over (
    partition by ps_partkey, ps_suppkey
    order by ps_supplycost, ps_availqty desc, ps_comment
) = 1
