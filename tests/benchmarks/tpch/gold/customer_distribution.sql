-- After TPC-H Q13: how many customers have how many orders, those without any too.
with orders_of as (
    select customers.customer_id, count(order_id) as orders
    from customers
    left join orders on orders.customer_id = customers.customer_id and orders.comment not like '%special%requests%'
    group by all
)
select orders, count(*) as customers
from orders_of
group by all
