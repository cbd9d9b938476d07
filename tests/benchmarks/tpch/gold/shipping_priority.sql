-- After TPC-H Q3: what was ordered by one segment before a day and had not been shipped then.
select
    order_id,
    ordered_on,
    sum(revenue) as revenue
from order_lines
join customers using (customer_id)
where segment = 'building' and ordered_on < date '1995-03-15' and shipped_on > date '1995-03-15'
group by all
