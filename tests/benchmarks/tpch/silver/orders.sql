-- One row per order: the latest.
select
    o_orderkey as order_id,
    o_custkey as customer_id,
    case o_orderstatus when 'F' then 'finished' when 'O' then 'open' else 'partly' end as status,
    o_totalprice as total_price,
    o_orderdate as ordered_on,
    cast(left(o_orderpriority, 1) as integer) as priority,
    cast(replace(o_clerk, 'Clerk#', '') as integer) as clerk,
    o_comment as comment
from raw_orders
where o_totalprice > 0
qualify row_number() over (
    partition by o_orderkey
    order by o_orderdate desc, o_totalprice desc, o_clerk
) = 1
