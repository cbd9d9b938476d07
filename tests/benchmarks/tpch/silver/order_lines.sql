select
    l_orderkey as order_id,
    l_linenumber as line,
    l_partkey as part_id,
    l_suppkey as supplier_id,
    customer_id,
    ordered_on,
    l_shipdate as shipped_on,
    l_receiptdate as received_on,
    l_receiptdate > l_commitdate as is_late,
    l_returnflag = 'R' as is_returned,
    l_returnflag as return_flag,
    l_linestatus as line_status,
    lower(l_shipmode) as ship_mode,
    l_quantity as quantity,
    l_discount as discount,
    l_extendedprice as price,
    l_extendedprice * (1 - l_discount) as revenue,
    l_extendedprice * (1 - l_discount) * (1 + l_tax) as charge
from raw_lineitem
join orders on order_id = l_orderkey
where l_quantity > 0
