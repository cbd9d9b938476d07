-- By the day the money moved, which may be earlier than the day whose file told of it.
select
    day,
    method,
    sum(case when kind = 'payment' then 1 else 0 end) as payment_count,
    sum(case when kind = 'refund' then 1 else 0 end) as refund_count,
    sum(case when kind = 'payment' then amount_eur else 0 end) as paid_eur,
    sum(case when kind = 'refund' then amount_eur else 0 end) as refunded_eur,
    sum(case when kind = 'refund' then -amount_eur else amount_eur end) as net_eur
from payments
group by day, method
