"""Queries as people write them, over two small tables with everything that is hard in them."""

from __future__ import annotations

TABLES = """
CREATE TABLE orders (order_id BIGINT, customer_id INTEGER, order_date DATE, updated_at TIMESTAMP, quantity INTEGER,
    price DECIMAL(10,2), status VARCHAR, note VARCHAR, tags VARCHAR[], discount DOUBLE);
INSERT INTO orders VALUES
 (1, 10, '2024-01-05', '2024-01-05 10:00:00', 2, 9.99, 'active', ' first ', ['a','b'], 0.1),
 (2, 10, '2024-01-31', '2024-02-01 23:59:59.123456', 1, 100.00, 'ACTIVE', NULL, ['b'], NULL),
 (3, 11, '2024-02-29', NULL, 0, 5.50, 'cancelled', 'Ærø', [], -0.5),
 (4, NULL, NULL, '2024-03-31 01:30:00', -3, NULL, NULL, '', NULL, 0.0),
 (5, 12, '2023-12-31', '2023-12-31 00:00:00', 7, 1234.56, 'active', 'a,b;c', ['c','a','c'], 'nan'),
 (2, 10, '2024-01-31', '2024-02-02 00:00:00', 5, 100.00, 'active', 'dup', ['z'], 1e308);
CREATE TABLE customers (customer_id INTEGER, name VARCHAR, email VARCHAR, country VARCHAR, signed_up DATE,
    address STRUCT(city VARCHAR, zip INTEGER), attributes MAP(VARCHAR, INTEGER), payload JSON);
INSERT INTO customers VALUES
 (10, 'Ana', 'ana@example.org', 'DE', '2020-02-29', {'city': 'Köln', 'zip': 50667}, MAP {'age': 30}, '{"a": 1, "b": ["x", "y"]}'),
 (11, 'Bo', NULL, 'SE', '2021-01-01', {'city': NULL, 'zip': 11122}, MAP {}, '{"a": null}'),
 (12, 'cy', 'CY@EXAMPLE.ORG', NULL, NULL, NULL, NULL, NULL),
 (13, 'Di', 'di@x.de', 'DE', '2024-06-15', {'city': 'Bonn', 'zip': NULL}, MAP {'age': NULL, 'kids': 2}, '{"a": 2.5}');
"""

QUERIES = r"""
SELECT * FROM orders
;;
FROM orders SELECT order_id, quantity * price AS total
;;
SELECT order_id, price / quantity AS each FROM orders WHERE quantity <> 0
;;
SELECT order_id, quantity // 2 AS half, quantity % 2 AS odd, -quantity % 3 AS neg FROM orders
;;
SELECT customer_id, count(*) AS n, sum(quantity) AS q, avg(price) AS p, min(order_date) AS first, max(updated_at) AS last FROM orders GROUP BY customer_id
;;
SELECT customer_id, status, count(*) AS n FROM orders GROUP BY ALL ORDER BY ALL
;;
SELECT status, count(*) FILTER (WHERE quantity > 0) AS positive, count(DISTINCT customer_id) AS who FROM orders GROUP BY status HAVING count(*) > 0
;;
SELECT *, row_number() OVER (PARTITION BY order_id ORDER BY updated_at DESC NULLS LAST, quantity) AS rn FROM orders QUALIFY rn = 1
;;
SELECT * FROM orders QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY updated_at DESC, quantity) = 1
;;
SELECT order_id, lag(price) OVER (ORDER BY order_id, quantity) AS previous, sum(quantity) OVER (ORDER BY order_id, quantity ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS running FROM orders
;;
SELECT order_id, sum(quantity) OVER w AS s, rank() OVER w AS r FROM orders WINDOW w AS (PARTITION BY customer_id ORDER BY order_id)
;;
SELECT DISTINCT ON (order_id) order_id, updated_at FROM orders ORDER BY order_id, updated_at DESC NULLS LAST
;;
SELECT o.order_id, c.name FROM orders o LEFT JOIN customers c USING (customer_id)
;;
SELECT o.order_id, c.name FROM orders AS o JOIN customers AS c ON o.customer_id = c.customer_id AND c.country IS NOT NULL
;;
SELECT o.*, c.name, c.email FROM orders o FULL OUTER JOIN customers c ON o.customer_id = c.customer_id
;;
SELECT name FROM customers SEMI JOIN orders USING (customer_id)
;;
SELECT name FROM customers ANTI JOIN orders USING (customer_id)
;;
SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id AND o.quantity > 1)
;;
SELECT name FROM customers WHERE customer_id NOT IN (SELECT customer_id FROM orders WHERE customer_id IS NOT NULL)
;;
SELECT name, (SELECT sum(quantity) FROM orders o WHERE o.customer_id = c.customer_id) AS q FROM customers c
;;
WITH paid AS (SELECT * FROM orders WHERE price > 10), per AS (SELECT customer_id, sum(price) AS t FROM paid GROUP BY 1) SELECT * FROM per ORDER BY 1 NULLS FIRST
;;
WITH orders AS (SELECT * FROM orders WHERE quantity > 0) SELECT order_id FROM orders
;;
WITH RECURSIVE days AS (SELECT DATE '2024-01-01' AS d UNION ALL SELECT d + 1 FROM days WHERE d < DATE '2024-01-05') SELECT * FROM days
;;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT i, i * i AS sq FROM n
;;
SELECT order_id FROM orders WHERE quantity > 1 UNION SELECT customer_id FROM customers
;;
SELECT order_id FROM orders UNION ALL BY NAME SELECT customer_id AS order_id, name FROM customers
;;
SELECT order_id FROM orders EXCEPT SELECT 1
;;
SELECT order_id FROM orders INTERSECT ALL SELECT order_id FROM orders WHERE quantity > 1
;;
SELECT * EXCLUDE (note, tags) FROM orders
;;
SELECT * REPLACE (upper(status) AS status) FROM orders
;;
SELECT * RENAME (note AS remark) FROM orders
;;
SELECT COLUMNS('order_.*') FROM orders
;;
SELECT coalesce(status, 'none') AS s, nullif(note, '') AS n, ifnull(price, 0) AS p, greatest(quantity, 1) AS g, least(quantity, 1) AS l FROM orders
;;
SELECT CASE WHEN quantity > 1 THEN 'many' WHEN quantity = 1 THEN 'one' ELSE 'none' END AS c, CASE status WHEN 'active' THEN 1 END AS a, if(quantity > 1, 'y', 'n') AS i FROM orders
;;
SELECT upper(name) AS u, lower(email) AS l, trim(name) AS t, length(name) AS n, substr(name, 1, 2) AS s, replace(name, 'A', 'B') AS r, left(name, 1) AS le, right(name, 1) AS ri, lpad(name, 5, '*') AS lp, reverse(name) AS rev FROM customers
;;
SELECT split_part(email, '@', 2) AS domain, regexp_replace(email, '[aeiou]', '_', 'g') AS masked, regexp_extract(email, '(\w+)@', 1) AS local, regexp_matches(email, '^a') AS m, email ILIKE '%example%' AS e, email SIMILAR TO '.*de' AS sim FROM customers
;;
SELECT name || ' <' || email || '>' AS label, concat(name, email) AS c, concat_ws('-', name, country) AS w, format('{}:{}', name, customer_id) AS f, printf('%05d', customer_id) AS p FROM customers
;;
SELECT trim(note) AS t, ltrim(note) AS l, rtrim(note) AS r, string_split(note, ',') AS parts, strlen(note) AS bytes, ascii(note) AS a, instr(note, 'b') AS i, strpos(note, 'b') AS j, position('b' IN note) AS k FROM orders
;;
SELECT year(order_date) AS y, month(order_date) AS m, extract(dow FROM order_date) AS d, isodow(order_date) AS i, week(order_date) AS w, quarter(order_date) AS q, dayname(order_date) AS dn, monthname(order_date) AS mn, dayofyear(order_date) AS doy, date_part('epoch', updated_at) AS e FROM orders
;;
SELECT date_trunc('month', order_date) AS m, date_trunc('week', updated_at) AS w, last_day(order_date) AS l, order_date + INTERVAL 1 MONTH AS n, order_date - INTERVAL '1 day' AS p, order_date + 7 AS d7 FROM orders
;;
SELECT date_diff('day', order_date, updated_at::DATE) AS d, date_diff('month', order_date, DATE '2024-03-01') AS m, date_sub('month', order_date, DATE '2024-03-01') AS ms, datediff('year', order_date, DATE '2025-01-01') AS y, order_date - DATE '2024-01-01' AS diff FROM orders
;;
SELECT strftime(updated_at, '%Y-%m-%d %H:%M:%S') AS s, strftime(order_date, '%d/%m/%y %j %a') AS d, strptime('05.01.2024', '%d.%m.%Y') AS p, try_strptime(note, '%Y') AS t, make_date(2024, 2, 29) AS md, to_timestamp(0) AS ts, epoch_ms(1000) AS ems FROM orders
;;
SELECT updated_at::DATE AS d, CAST(price AS INTEGER) AS i, CAST(3.7 AS INTEGER) AS r, TRY_CAST(note AS INTEGER) AS t, price::DOUBLE AS dbl, quantity::VARCHAR AS v, '2024-01-01'::DATE AS lit, CAST(discount AS DECIMAL(10, 3)) AS dec FROM orders WHERE discount < 10
;;
SELECT round(price, 1) AS r, floor(discount) AS f, ceil(discount) AS c, abs(quantity) AS a, sign(quantity) AS s, power(quantity, 2) AS p, quantity ** 2 AS p2, exp(1) AS e, pi() AS pi, trunc(price) AS t FROM orders WHERE discount < 10
;;
SELECT log10(price) AS l10, log2(price) AS l2, ln(price) AS ln, log(price) AS l, log(2, price) AS lb, sqrt(price) AS s, cbrt(price) AS c FROM orders
;;
SELECT log10(1000) AS a, log2(8) AS b, log(1000) AS c, log10(0.001) AS d
;;
SELECT order_id, unnest(tags) AS tag FROM orders
;;
SELECT order_id, tag FROM orders, unnest(tags) AS t(tag)
;;
SELECT tags[1] AS first, tags[-1] AS last, tags[1:2] AS two, len(tags) AS n, list_contains(tags, 'a') AS has, list_sort(tags) AS s, list_distinct(tags).len() AS d, array_to_string(tags, '|') AS j FROM orders
;;
SELECT list_transform(tags, lambda x: upper(x)) AS u, list_filter(tags, lambda x: x <> 'a') AS f, [x || '!' FOR x IN tags IF x > 'a'] AS c, list_aggregate(tags, 'max') AS m FROM orders
;;
SELECT address.city AS city, address['zip'] AS zip, struct_extract(address, 'city') AS c2, attributes['age'] AS age, map_keys(attributes) AS k, {'a': 1, 'b': name} AS s, struct_pack(x := 1, y := name) AS p FROM customers
;;
SELECT payload->>'$.a' AS a, payload->'b' AS b, json_extract_string(payload, '$.b[0]') AS b0, payload->>'a' AS a2, json_array_length(payload, '$.b') AS n FROM customers
;;
SELECT customer_id, string_agg(status, ',' ORDER BY order_id, quantity) AS s, list(quantity ORDER BY quantity DESC) AS l, array_agg(order_id ORDER BY order_id) AS a, first(status ORDER BY order_id, quantity) AS f, arg_max(status, quantity) AS am, bool_or(quantity > 1) AS bo, median(quantity) AS med, quantile_cont(quantity, 0.5) AS qc, stddev(quantity) AS sd, var_pop(quantity) AS vp FROM orders GROUP BY customer_id
;;
SELECT customer_id, max_by(status, quantity) AS m, min_by(status, quantity) AS n, mode(customer_id) AS mo, count_if(quantity > 0) AS ci, sum(price) AS sp, approx_count_distinct(status) AS acd, histogram(status) AS h, product(quantity) AS pr, bit_and(quantity) AS ba FROM orders GROUP BY customer_id
;;
SELECT country, signed_up, count(*) AS n, grouping(country) AS g FROM customers GROUP BY ROLLUP (country, signed_up)
;;
SELECT country, name, count(*) AS n FROM customers GROUP BY GROUPING SETS ((country), (name), ())
;;
SELECT country, name, count(*) AS n FROM customers GROUP BY CUBE (country, name)
;;
SELECT * FROM (PIVOT orders ON status IN ('active', 'cancelled') USING sum(quantity) GROUP BY customer_id)
;;
PIVOT orders ON status IN ('active', 'cancelled') USING sum(quantity) AS q, count(*) AS n GROUP BY customer_id
;;
SELECT * FROM orders PIVOT (sum(quantity) FOR status IN ('active', 'cancelled') GROUP BY customer_id)
;;
UNPIVOT (SELECT order_id, quantity, customer_id FROM orders) ON quantity, customer_id INTO NAME what VALUE value
;;
SELECT * FROM (SELECT order_id, quantity, customer_id FROM orders) UNPIVOT (value FOR what IN (quantity, customer_id))
;;
SELECT * FROM orders ASOF JOIN (SELECT DATE '2024-01-01' AS since, 'x' AS era) e ON orders.order_date >= e.since
;;
SELECT order_id, name FROM orders POSITIONAL JOIN customers
;;
SELECT o.* FROM orders o CROSS JOIN LATERAL (SELECT max(c.customer_id) AS m FROM customers c WHERE c.customer_id < o.customer_id) l WHERE l.m IS NOT NULL
;;
SELECT i, i % 3 AS m FROM range(5) t(i)
;;
SELECT generate_series AS g FROM generate_series(1, 3)
;;
SELECT * FROM generate_series(DATE '2024-01-01', DATE '2024-01-03', INTERVAL 1 DAY) AS g(d)
;;
SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS v(id, label)
;;
SELECT order_id FROM orders ORDER BY price DESC, order_id LIMIT 2 OFFSET 1
;;
SELECT order_id, price FROM orders ORDER BY price, order_id, quantity
;;
SELECT order_id, price FROM orders ORDER BY price DESC, order_id, quantity
;;
SELECT order_id, quantity FROM orders WHERE quantity BETWEEN 1 AND 5 AND status IS DISTINCT FROM 'cancelled' AND NOT (note IS NULL)
;;
SELECT order_id FROM orders WHERE status IN ('active', 'ACTIVE') OR price IS NULL AND quantity < 0
;;
SELECT quantity + 1 AS next, next * 2 AS doubled FROM orders
;;
SELECT "order_id" AS "Order ID", status AS "select" FROM "orders"
;;
SELECT bar(quantity, 0, 10, 5) AS b, hash(status) IS NOT NULL AS h, md5(status) AS m, sha256(note) AS s FROM orders
;;
SELECT quantity & 1 AS a, quantity | 4 AS o, xor(quantity, 3) AS x, quantity << 1 AS l, quantity >> 1 AS r, ~quantity AS n FROM orders WHERE quantity > 0
;;
SELECT isnan(discount) AS nan, isinf(discount) AS inf, discount > 1e307 AS big, 1e-7 AS tiny, 0.1 + 0.2 AS dec, 1_000 AS k FROM orders
;;
SELECT timezone('Europe/Berlin', updated_at) AS tz, updated_at AT TIME ZONE 'UTC' AS utc, date_add(order_date, INTERVAL 2 DAY) AS da, age(updated_at, TIMESTAMP '2024-01-01') IS NULL AS ag, datetrunc('hour', updated_at) AS h, time_bucket(INTERVAL '2 days', order_date) AS tb FROM orders
;;
SELECT chr(65) AS c, starts_with(name, 'A') AS s, prefix(name, 'A') AS p, suffix(name, 'a') AS su, contains(name, 'n') AS co, levenshtein(name, 'Ana') AS le, repeat(name, 2) AS re, translate(name, 'A', 'B') AS tr FROM customers
;;
SELECT name COLLATE NOCASE = 'CY' AS eq FROM customers
;;
SELECT count(*) AS n FROM orders WHERE updated_at >= TIMESTAMP '2024-01-01' AND updated_at < TIMESTAMP '2024-02-01' + INTERVAL '1' DAY
;;
SELECT row_number() OVER () > 0 AS ok, ntile(2) OVER (ORDER BY order_id, quantity) AS nt, first_value(quantity) OVER (ORDER BY order_id, quantity) AS fv, last_value(quantity IGNORE NULLS) OVER (ORDER BY order_id, quantity ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS lv, sum(quantity) OVER (ORDER BY order_date RANGE BETWEEN INTERVAL 30 DAY PRECEDING AND CURRENT ROW) AS s30, cume_dist() OVER (ORDER BY quantity) AS cd, sum(quantity) OVER (ORDER BY order_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) AS ex FROM orders
;;
SELECT customer_id, sum(quantity) / count(*) AS mean, round(100.0 * sum(quantity) / sum(sum(quantity)) OVER (), 2) AS share FROM orders GROUP BY customer_id
;;
SELECT ['a', 'b'] AS l, {'k': [1, 2]} AS s, MAP {'x': 1} AS m, NULL AS n, TRUE AS b, E'a\nb' AS e, 'it''s' AS q, $$dollar$$ AS d
;;
SELECT x FROM (SELECT unnest([3, 1, 2]) AS x) ORDER BY x
;;
SELECT o.order_id FROM orders o NATURAL JOIN customers c
;;
SELECT o.order_id AS id, o.status::VARCHAR[] IS NULL AS n FROM orders o WHERE o.status IS NULL
;;
SELECT any_value(name) AS a FROM customers WHERE customer_id = 10
;;
SELECT * FROM orders WHERE (customer_id, status) IN ((10, 'active'), (11, 'cancelled'))
;;
SELECT status, quantity FROM orders WHERE quantity = ANY (SELECT max(quantity) FROM orders) OR quantity > ALL (SELECT quantity FROM orders WHERE quantity < 5)
;;
SELECT date_trunc('day', updated_at)::DATE AS day, count(*) AS n FROM orders GROUP BY day HAVING n > 0 ORDER BY day NULLS FIRST
;;
SELECT order_id, -quantity AS neg, - -quantity AS pos, NOT (quantity > 1) AS nn, quantity IS NOT NULL AS b FROM orders
;;
SELECT order_id AS "a.b", status AS "with ""a quote"" in it" FROM orders
;;
SELECT customer_id, payload ->> 'a.b' AS dotted, payload -> '$.b[1]' AS path, payload ->> 'a' = '1' AS one FROM customers
;;
SELECT '{"a.b": 1, "a": {"b": 2}}'::JSON ->> 'a.b' AS dotted, '{"a.b": 1, "a": {"b": 2}}'::JSON ->> '$.a.b' AS path, '[5, 6]'::JSON ->> 1 AS second
;;
TABLE customers
;;
VALUES (1, 'a'), (2, 'b')
;;
(SELECT order_id FROM orders ORDER BY order_id LIMIT 1) UNION ALL (SELECT customer_id FROM customers ORDER BY 1 LIMIT 1)
;;
(WITH big AS (SELECT * FROM orders WHERE price > 50) SELECT order_id FROM big)
;;
WITH orders AS (SELECT order_id, quantity FROM orders WHERE quantity > 0), again AS (SELECT * FROM orders) SELECT * FROM again WHERE quantity > 1
;;
WITH RECURSIVE orders AS (SELECT min(order_id) AS i FROM orders UNION ALL SELECT i + 1 FROM orders WHERE i < 3) SELECT i FROM orders
;;
WITH RECURSIVE a AS (SELECT count(*) AS n FROM customers), customers AS (SELECT 1 AS one) SELECT n, one FROM a, customers
;;
WITH x AS (FROM orders) PIVOT x ON status IN ('active') USING sum(quantity) AS q GROUP BY customer_id
;;
SELECT /* how many */ count(*) AS n -- of all
FROM orders -- end
;;
SELECT c.name, t.tag FROM customers c, LATERAL (SELECT unnest(['a', 'b']) AS tag) t WHERE c.customer_id = 10
;;
SELECT e.key, e.value FROM customers c, json_each(c.payload) e WHERE c.customer_id = 10
""".strip().split("\n;;\n")
