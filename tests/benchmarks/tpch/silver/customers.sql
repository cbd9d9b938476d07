select
    c_custkey as customer_id,
    trim(c_name) as customer,
    trim(c_address) as address,
    n_name as nation,
    r_name as region,
    c_phone as phone,
    cast(left(c_phone, 2) as integer) as country_code,
    c_acctbal as balance,
    lower(c_mktsegment) as segment,
    c_comment as comment
from raw_customer
join raw_nation on n_nationkey = c_nationkey
join raw_region on r_regionkey = n_regionkey
