select
    s_suppkey as supplier_id,
    trim(s_name) as supplier,
    trim(s_address) as address,
    n_name as nation,
    r_name as region,
    s_phone as phone,
    s_acctbal as balance,
    s_comment like '%Customer%Complaints%' as has_complaints
from raw_supplier
join raw_nation on n_nationkey = s_nationkey
join raw_region on r_regionkey = n_regionkey
