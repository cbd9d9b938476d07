-- The groups are what their names say: 25 is in 18-25, and who is younger than 18 is in none of them.
select
    case
        when age is null then 'unknown'
        when age < 18 then 'under 18'
        when age < 26 then '18-25'
        when age < 36 then '26-35'
        when age < 46 then '36-45'
        when age < 56 then '46-55'
        else '56+'
    end as age_group,
    count(*) as user_count
from users
group by 1
order by age_group
