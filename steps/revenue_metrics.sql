-- One row over all users. Transactions are counted, not the rows of users that they were summed up to.
select
    sum(id_count) as total_transactions,
    sum(amount_sum) as total_revenue,
    avg(amount_sum) as average_revenue_per_user,
    median(amount_sum) as median_revenue_per_user,
    avg(id_count) as average_transactions_per_user,
    median(id_count) as median_transactions_per_user
from user_transactions
