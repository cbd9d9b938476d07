select
    p_partkey as part_id,
    trim(p_name) as part,
    cast(replace(p_mfgr, 'Manufacturer#', '') as integer) as manufacturer,
    cast(replace(p_brand, 'Brand#', '') as integer) as brand,
    split_part(p_type, ' ', 1) as grade,
    split_part(p_type, ' ', 2) as finish,
    split_part(p_type, ' ', 3) as material,
    p_size as size,
    lower(p_container) as container,
    p_retailprice as retail_price
from raw_part
where p_size > 0
