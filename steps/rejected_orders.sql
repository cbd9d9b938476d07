-- Orders that cannot be used, each with the first reason that applies.
select *
from (
    select
        o.order_id, o.customer_id, o.product_id, o.quantity, o.unit_price, o.currency, o.status, o.day,
        case
            when o.customer_id is null then 'missing customer'
            when c.customer_id is null then 'unknown customer'
            when p.product_id is null then 'unknown product'
            when o.quantity is null or o.quantity <= 0 then 'bad quantity'
            when o.unit_price is null or o.unit_price < 0 then 'bad price'
            when r.currency is null then 'no exchange rate'
        end as reason
    from latest_orders as o
    left join customers as c on c.customer_id = o.customer_id
    left join products as p on p.product_id = o.product_id
    left join raw_rates as r on r.day = o.day and r.currency = o.currency
) as judged
where reason is not null
