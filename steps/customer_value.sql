-- One row per customer. A customer without an order has no return rate: nothing divided by nothing is NULL.
with bought as (
    select
        customer_id,
        count(*) as order_count,
        sum(case when status = 'returned' then 1 else 0 end) as returned_count,
        sum(net_eur) as net_eur,
        min(day) as first_order_on,
        max(day) as last_order_on
    from orders
    group by customer_id
),
valued as (
    select
        c.customer_id, c.name, c.email, c.country, c.signed_up, b.first_order_on, b.last_order_on,
        coalesce(b.order_count, 0) as order_count,
        coalesce(b.returned_count, 0) as returned_count,
        coalesce(b.net_eur, 0) as net_eur,
        date_diff('day', b.last_order_on, (select max(day) from orders)) as days_since_order
    from customers as c
    left join bought as b on b.customer_id = c.customer_id
)
select
    *,
    returned_count / order_count as return_rate,
    rank() over (order by net_eur desc, customer_id) as value_rank
from valued
