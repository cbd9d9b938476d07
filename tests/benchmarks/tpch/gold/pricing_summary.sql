-- After TPC-H Q1.
select
    return_flag,
    line_status,
    sum(quantity) as quantity,
    sum(price) as price,
    sum(revenue) as revenue,
    sum(charge) as charge,
    avg(quantity) as average_quantity,
    avg(price) as average_price,
    avg(discount) as average_discount,
    count(*) as lines
from order_lines
where shipped_on <= date '1998-09-02'
group by all
