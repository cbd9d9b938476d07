"""What data must be like: rules as queries for the rows that break them, and the quarantine for such rows.

Rules run over the Parquet files that an engine has staged, on DuckDB whoever staged them, so a rule has
one meaning. Rows that break a quarantine rule go to a table of their own before the others are published.
"""
