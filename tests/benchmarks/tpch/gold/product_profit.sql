-- After TPC-H Q9: profit on green parts, by the supplier's nation and year.
select
    supplier_nation,
    extract(year from ordered_on) as year,
    sum(revenue - cost * quantity) as profit
from order_lines
join offers using (part_id, supplier_id)
where part like '%green%'
group by all
