-- After TPC-H Q5: revenue where customer and supplier are of one nation.
select
    customers.region,
    customers.nation,
    extract(year from ordered_on) as year,
    sum(revenue) as revenue,
    count(*) as lines
from order_lines
join customers on customers.customer_id = order_lines.customer_id
join suppliers on suppliers.supplier_id = order_lines.supplier_id and suppliers.nation = customers.nation
group by all
