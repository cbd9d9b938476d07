-- After TPC-H Q4: orders with a late line, by quarter and priority.
select
    extract(year from ordered_on) as year,
    extract(quarter from ordered_on) as quarter,
    priority,
    count(*) as orders,
    sum(total_price) as total_price
from orders
where order_id in (select order_id from order_lines where is_late)
group by all
