-- The ten users who spent most; of equals those with the lower number.
select user_id, amount_sum as amount
from user_transactions
order by amount_sum desc, user_id
limit 10
