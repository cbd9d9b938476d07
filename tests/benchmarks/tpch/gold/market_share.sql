-- After TPC-H Q8: the share of each supplier nation in the revenue of a region and year.
with volume as (
    select
        customers.region,
        extract(year from ordered_on) as year,
        suppliers.nation as supplier_nation,
        sum(revenue) as revenue
    from order_lines
    join customers on customers.customer_id = order_lines.customer_id
    join suppliers on suppliers.supplier_id = order_lines.supplier_id
    group by all
)
select *, revenue / sum(revenue) over (partition by region, year) as share
from volume
