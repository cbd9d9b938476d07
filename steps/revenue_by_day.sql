-- Cancelled orders earn nothing; returned orders are sold first and given back then.
with days as (
    select
        day,
        count(*) as order_count,
        sum(quantity) as unit_count,
        sum(case when status = 'cancelled' then 0 else amount_eur end) as gross_eur,
        sum(case when status = 'returned' then amount_eur else 0 end) as returned_eur,
        sum(net_eur) as net_eur
    from orders
    group by day
)
select
    *,
    returned_eur / gross_eur as returned_share,  -- NULL on a day that sold nothing
    sum(net_eur) over (order by day rows between unbounded preceding and current row) as net_eur_so_far
from days
order by day
