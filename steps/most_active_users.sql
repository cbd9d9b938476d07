-- The ten users with most transactions; of equals those with the lower number.
select user_id, id_count as transaction_count
from user_transactions
order by id_count desc, user_id
limit 10
