-- The ten domains most users have their e-mail at; of equally many the first in the alphabet.
select lower(split_part(email, '@', 2)) as domain, count(*) as user_count
from users
where split_part(email, '@', 2) <> ''
group by 1
order by user_count desc, domain
limit 10
