-- The table in the query is the step's input.
SELECT day, count(*) AS order_count, sum(amount) AS revenue
FROM orders
GROUP BY day
ORDER BY day
