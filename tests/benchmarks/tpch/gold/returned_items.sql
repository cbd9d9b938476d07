-- After TPC-H Q10: customers by what they sent back in a quarter.
select
    customer_id,
    customer,
    nation,
    balance,
    sum(revenue) as revenue,
    rank() over (order by sum(revenue) desc) as position
from order_lines
join customers using (customer_id)
where is_returned and ordered_on >= date '1993-10-01' and ordered_on < date '1994-01-01'
group by all
