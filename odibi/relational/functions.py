"""The functions that mean the same on every engine, with what each gives.

The table is the contract: ``docs/functions.md`` is made from it, each example is run, and a function
that is not in it binds its step to DuckDB. Where an engine answers otherwise by nature, ``rule``
says how; its compiler must correct that or refuse. Left out are functions whose answer depends on the
order of rows that have none (``first``, ``any_value``, ``mode``), on the clock or chance, or on an
engine's own algorithm (``hash``, ``approx_count_distinct``). Operators and casts are not functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sqlglot import Dialect, exp

__all__ = ["FUNCTIONS", "GROUPS", "Function", "is_aggregate", "portable"]


@dataclass(frozen=True, slots=True)
class Function:
    """A portable function.

    ``signature`` names the arguments, optional ones with ``= default``; ``example`` is what follows
    SELECT and ``expected`` its result as text, NULL as ``NULL``.
    """

    group: str
    signature: str
    returns: str
    doc: str
    example: str
    expected: str
    aliases: tuple[str, ...] = ()
    rule: str = ""

    @property
    def name(self) -> str:
        """The name as DuckDB spells it."""
        return self.signature.partition("(")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *self.aliases)


GROUPS = ("Text", "Conditions", "Numbers", "Dates and times", "Lists and structs", "Aggregates", "Windows")
"""The headings of the table. Aggregates and windows work on several rows."""

# One line per function. Text is counted in characters, positions from 1.
# fmt: off
_TEXT = (
    Function("Text", "concat(value, ...)", "VARCHAR", "The values as text one after another; NULL counts as empty.", "concat('a', NULL, 'b')", "ab", rule="values that are no text are cast first"),
    Function("Text", "concat_ws(separator, value, ...)", "VARCHAR", "The values that are not NULL, with the separator between them.", "concat_ws('-', 'a', NULL, 'b')", "a-b"),
    Function("Text", "contains(text, part)", "BOOLEAN", "Whether the part occurs in the text, case mattering.", "contains('invoice', 'voi')", "true"),
    Function("Text", "ends_with(text, part)", "BOOLEAN", "Whether the text ends with the part.", "ends_with('a.csv', '.csv')", "true"),
    Function("Text", "left(text, count)", "VARCHAR", "The first characters; a negative count leaves out the last ones.", "left('odibi', 3)", "odi", rule="Spark gives '' for a negative count"),
    Function("Text", "length(text)", "BIGINT", "How many characters the text has, or elements the list.", "length('Ærø')", "3", ("len",), "Spark counts a list with size()"),
    Function("Text", "lower(text)", "VARCHAR", "The text in lower case.", "lower('ÉTÉ')", "été", rule="Spark turns a dotted capital I into two characters"),
    Function("Text", "lpad(text, count, fill)", "VARCHAR", "Filled from the left to exactly that many characters; longer text is cut.", "lpad('7', 3, '0')", "007"),
    Function("Text", "ltrim(text, characters = ' ')", "VARCHAR", "Without those characters at the start.", "ltrim('  a ')", "a "),
    Function("Text", "md5(text)", "VARCHAR", "The MD5 hash in hexadecimal.", "md5('odibi')", "c3b34fab6b262a775c718e94fd5376a4"),
    Function("Text", "position(part IN text)", "BIGINT", "Where the part first begins, 0 if nowhere.", "position('b' IN 'abc')", "2"),
    Function("Text", "regexp_extract(text, pattern, group = 0)", "VARCHAR", "What the pattern, or a group of it, first matches; '' if nothing does.", "regexp_extract('order 42', '[0-9]+')", "42"),
    Function("Text", "regexp_full_match(text, pattern)", "BOOLEAN", "Whether the pattern matches all of the text.", "regexp_full_match('SKU-12', '[A-Z]+-[0-9]+')", "true"),
    Function("Text", "regexp_matches(text, pattern)", "BOOLEAN", "Whether the pattern matches somewhere.", "regexp_matches('SKU-12', '^[A-Z]+-')", "true"),
    Function("Text", "regexp_replace(text, pattern, new, flags = '')", "VARCHAR", "With the first match replaced, with the flag 'g' all of them.", "regexp_replace('a1b22', '[0-9]+', '#', 'g')", "a#b#", rule="Spark replaces all matches always, and a group is $1 instead of \\1"),
    Function("Text", "repeat(text, count)", "VARCHAR", "The text that many times.", "repeat('ab', 3)", "ababab"),
    Function("Text", "replace(text, old, new)", "VARCHAR", "With every old part replaced.", "replace('1,234,567', ',', '')", "1234567"),
    Function("Text", "reverse(text)", "VARCHAR", "The characters in reverse.", "reverse('abc')", "cba"),
    Function("Text", "right(text, count)", "VARCHAR", "The last characters; a negative count leaves out the first ones.", "right('odibi', 3)", "ibi", rule="Spark gives '' for a negative count"),
    Function("Text", "rpad(text, count, fill)", "VARCHAR", "Filled from the right to exactly that many characters; longer text is cut.", "rpad('ab', 4, '.')", "ab.."),
    Function("Text", "rtrim(text, characters = ' ')", "VARCHAR", "Without those characters at the end.", "rtrim(' a  ')", " a"),
    Function("Text", "sha256(text)", "VARCHAR", "The SHA-256 hash in hexadecimal.", "sha256('odibi')", "3fee932339bc14962611e500591b3aee3aaa458df91e7e2640c196d7bed10b8b"),
    Function("Text", "split_part(text, separator, n)", "VARCHAR", "The n-th part, '' if there are fewer; a negative n counts from the end.", "split_part('a,b,c', ',', 2)", "b", rule="an empty separator splits into characters on DuckDB alone"),
    Function("Text", "starts_with(text, part)", "BOOLEAN", "Whether the text begins with the part.", "starts_with('SKU-1', 'SKU')", "true"),
    Function("Text", "string_split(text, separator)", "VARCHAR[]", "The parts between the separators as a list.", "string_split('a,,b', ',')", "[a, '', b]", ("split", "str_split"), "an empty separator leaves an empty part on Spark"),
    Function("Text", "strpos(text, part)", "BIGINT", "Where the part first begins, 0 if nowhere.", "strpos('abc', 'c')", "3", ("instr",)),
    Function("Text", "substring(text, start, count)", "VARCHAR", "Characters from a position; a negative start counts from the end.", "substring('odibi', 2, 3)", "dib", ("substr",), "a start of 0 is before the first character on DuckDB, the first on Spark"),
    Function("Text", "translate(text, old, new)", "VARCHAR", "With each character of old replaced by the one at its place in new.", "translate('1.234,5', '.,', ',.')", "1,234.5"),
    Function("Text", "trim(text, characters = ' ')", "VARCHAR", "Without those characters at either end.", "trim('  a ')", "a"),
    Function("Text", "upper(text)", "VARCHAR", "The text in upper case.", "upper('été')", "ÉTÉ", rule="Spark turns a sharp s into SS"),
)
_CONDITIONS = (
    Function("Conditions", "coalesce(value, ...)", "as the values", "The first value that is not NULL.", "coalesce(NULL, 2)", "2", ("ifnull",)),
    Function("Conditions", "greatest(value, ...)", "as the values", "The greatest value; NULLs are left out.", "greatest(1, NULL, 3)", "3"),
    Function("Conditions", "if(condition, yes, no)", "as the values", "One value where the condition is true, else the other.", "if(NULL, 'yes', 'no')", "no"),
    Function("Conditions", "isfinite(x)", "BOOLEAN", "Whether the number is neither infinite nor NaN.", "isfinite('inf'::DOUBLE)", "false", rule="Spark has no such function"),
    Function("Conditions", "isinf(x)", "BOOLEAN", "Whether the number is infinite.", "isinf('-inf'::DOUBLE)", "true", rule="Spark has no such function"),
    Function("Conditions", "isnan(x)", "BOOLEAN", "Whether the number is NaN; NULL for NULL.", "isnan('nan'::DOUBLE)", "true", rule="Spark gives false for NULL"),
    Function("Conditions", "least(value, ...)", "as the values", "The least value; NULLs are left out.", "least(3, NULL, 1)", "1"),
    Function("Conditions", "nullif(value, other)", "as the value", "NULL where the two are equal, else the value.", "nullif('', '')", "NULL"),
)
_NUMBERS = (
    Function("Numbers", "abs(x)", "as x", "The number without its sign.", "abs(-5)", "5"),
    Function("Numbers", "atan(x)", "DOUBLE", "The angle in radians whose tangent is x.", "atan(0.0)", "0.0"),
    Function("Numbers", "atan2(y, x)", "DOUBLE", "The angle in radians of the point (x, y).", "atan2(0.0, 1.0)", "0.0", rule="the sign of a negative zero counts on DuckDB alone"),
    Function("Numbers", "cbrt(x)", "DOUBLE", "The cubic root.", "cbrt(-8)", "-2.0"),
    Function("Numbers", "ceil(x)", "DOUBLE, or DECIMAL as x", "The least whole number that is not below x.", "ceil(-1.5::DOUBLE)", "-1.0", ("ceiling",), "Spark gives BIGINT and turns NaN into 0"),
    Function("Numbers", "cos(x)", "DOUBLE", "The cosine of an angle in radians.", "cos(0)", "1.0"),
    Function("Numbers", "degrees(x)", "DOUBLE", "Radians as degrees.", "degrees(pi())", "180.0"),
    Function("Numbers", "exp(x)", "DOUBLE", "e to the power of x.", "exp(0)", "1.0"),
    Function("Numbers", "floor(x)", "DOUBLE, or DECIMAL as x", "The greatest whole number that is not above x.", "floor(-1.5::DOUBLE)", "-2.0", rule="Spark gives BIGINT and turns NaN into 0"),
    Function("Numbers", "ln(x)", "DOUBLE", "The natural logarithm; NULL for zero and less.", "ln(1)", "0.0", rule="outside its domain NULL on all engines"),
    Function("Numbers", "log(x)", "DOUBLE", "The logarithm to base 10, log(b, x) to base b; NULL for zero and less.", "log(1000)", "3.0", rule="one argument means base e on Spark; outside its domain NULL on all engines"),
    Function("Numbers", "log10(x)", "DOUBLE", "The logarithm to base 10; NULL for zero and less.", "log10(100)", "2.0", rule="outside its domain NULL on all engines"),
    Function("Numbers", "log2(x)", "DOUBLE", "The logarithm to base 2; NULL for zero and less.", "log2(8)", "3.0", rule="outside its domain NULL on all engines"),
    Function("Numbers", "pi()", "DOUBLE", "The ratio of a circle's circumference to its diameter.", "pi()", "3.141592653589793"),
    Function("Numbers", "power(x, y)", "DOUBLE", "x to the power of y.", "power(2, 10)", "1024.0", ("pow",)),
    Function("Numbers", "radians(x)", "DOUBLE", "Degrees as radians.", "radians(0)", "0.0"),
    Function("Numbers", "round(x, digits = 0)", "as x", "Rounded to that many decimals, halves away from zero.", "round(-2.5)", "-3", rule="of a DOUBLE Spark rounds the shortest text, DuckDB the value: round(1.005::DOUBLE, 2)"),
    Function("Numbers", "sign(x)", "TINYINT", "-1, 0 or 1; 0 for NaN.", "sign(-3)", "-1", rule="Spark gives DOUBLE, and NaN for NaN"),
    Function("Numbers", "sin(x)", "DOUBLE", "The sine of an angle in radians.", "sin(0)", "0.0"),
    Function("Numbers", "sqrt(x)", "DOUBLE", "The square root; NULL for less than zero.", "sqrt(16)", "4.0", rule="outside its domain NULL on all engines"),
    Function("Numbers", "tan(x)", "DOUBLE", "The tangent of an angle in radians.", "tan(0)", "0.0"),
    Function("Numbers", "trunc(x)", "as x", "Without its decimals.", "trunc(-2.7)", "-2", rule="Spark fails for infinity and NaN"),
)
_DATES = (
    Function("Dates and times", "date_diff(part, start, end)", "BIGINT", "How many boundaries of the part lie between; parts from year to second.", "date_diff('month', DATE '2024-01-31', DATE '2024-02-01')", "1", ("datediff",), "Spark counts whole parts elapsed"),
    Function("Dates and times", "date_part(part, time)", "BIGINT", "A part of a date or time, such as 'year', 'doy', 'hour'.", "date_part('year', DATE '2024-02-29')", "2024", ("datepart",), "dow, isodow, epoch and second need correction on Spark"),
    Function("Dates and times", "date_trunc(part, time)", "TIMESTAMP", "The start of the year, quarter, month, week, day, hour, minute or second.", "date_trunc('month', TIMESTAMP '2024-02-29 13:45:00')", "2024-02-01 00:00:00", ("datetrunc",)),
    Function("Dates and times", "day(time)", "BIGINT", "The day of the month.", "day(DATE '2024-02-29')", "29", ("dayofmonth",)),
    Function("Dates and times", "dayname(time)", "VARCHAR", "The English name of the day.", "dayname(DATE '2024-02-29')", "Thursday", rule="Spark abbreviates"),
    Function("Dates and times", "dayofweek(time)", "BIGINT", "The day of the week: 0 is Sunday, 6 Saturday.", "dayofweek(DATE '2024-03-03')", "0", ("weekday",), "Spark counts Sunday as 1"),
    Function("Dates and times", "dayofyear(time)", "BIGINT", "The day of the year, from 1.", "dayofyear(DATE '2024-12-31')", "366"),
    Function("Dates and times", "epoch(time)", "DOUBLE", "Seconds since 1970-01-01 00:00 UTC.", "epoch(TIMESTAMP '1970-01-02 00:00:00.5')", "86400.5", rule="Spark leaves out the fraction"),
    Function("Dates and times", "extract(part FROM time)", "BIGINT", "As date_part.", "extract(quarter FROM DATE '2024-05-01')", "2", rule="dow, isodow, epoch and second need correction on Spark"),
    Function("Dates and times", "hour(time)", "BIGINT", "The hour, 0 to 23.", "hour(TIMESTAMP '2024-02-29 13:45:00')", "13"),
    Function("Dates and times", "isodow(time)", "BIGINT", "The day of the week: 1 is Monday, 7 Sunday.", "isodow(DATE '2024-03-03')", "7", rule="has another name on Spark"),
    Function("Dates and times", "last_day(time)", "DATE", "The last day of its month.", "last_day(DATE '2024-02-10')", "2024-02-29"),
    Function("Dates and times", "make_date(year, month, day)", "DATE", "The date of those numbers; an error where there is none.", "make_date(2024, 2, 29)", "2024-02-29"),
    Function("Dates and times", "make_timestamp(year, month, day, hour, minute, seconds)", "TIMESTAMP", "The time of those numbers.", "make_timestamp(2024, 2, 29, 13, 45, 1.5)", "2024-02-29 13:45:01.5"),
    Function("Dates and times", "minute(time)", "BIGINT", "The minute, 0 to 59.", "minute(TIMESTAMP '2024-02-29 13:45:00')", "45"),
    Function("Dates and times", "month(time)", "BIGINT", "The month, 1 to 12.", "month(DATE '2024-02-29')", "2"),
    Function("Dates and times", "monthname(time)", "VARCHAR", "The English name of the month.", "monthname(DATE '2024-02-29')", "February", rule="Spark abbreviates"),
    Function("Dates and times", "quarter(time)", "BIGINT", "The quarter, 1 to 4.", "quarter(DATE '2024-05-01')", "2"),
    Function("Dates and times", "second(time)", "BIGINT", "The whole seconds, 0 to 59.", "second(TIMESTAMP '2024-02-29 13:45:07.9')", "7"),
    Function("Dates and times", "strftime(time, format)", "VARCHAR", "As text, with %Y %y %m %-m %d %-d %H %I %M %S %f %p %a %A %b %B.", "strftime(DATE '2024-02-29', '%d %b %Y')", "29 Feb 2024", rule="other format letters are refused; %j loses its zeros on Spark"),
    Function("Dates and times", "strptime(text, format)", "TIMESTAMP", "From text, with the letters of strftime; an error where it does not fit.", "strptime('29/02/2024', '%d/%m/%Y')", "2024-02-29 00:00:00"),
    Function("Dates and times", "weekofyear(time)", "BIGINT", "The ISO week, 1 to 53.", "weekofyear(DATE '2021-01-03')", "53", ("week",), "week() is weekofyear() on Spark"),
    Function("Dates and times", "year(time)", "BIGINT", "The year.", "year(DATE '2024-02-29')", "2024"),
)
_LISTS = (
    Function("Lists and structs", "array_length(list)", "BIGINT", "How many elements the list has.", "array_length([1, NULL])", "2"),
    Function("Lists and structs", "array_slice(list, start, end)", "as the list", "The elements from start to end, both counted from 1.", "array_slice(['a', 'b', 'c'], 2, 3)", "[b, c]", rule="positions from the end fail on Spark"),
    Function("Lists and structs", "array_to_string(list, separator)", "VARCHAR", "The elements that are not NULL as one text.", "array_to_string(['a', NULL, 'b'], '-')", "a-b", rule="of NULLs alone it is NULL on DuckDB, '' on Spark"),
    Function("Lists and structs", "list_append(list, value)", "as the list", "With the value at the end.", "list_append([1, 2], 3)", "[1, 2, 3]", ("array_append",)),
    Function("Lists and structs", "list_contains(list, value)", "BOOLEAN", "Whether the value is an element.", "list_contains([1, NULL], 2)", "false", ("array_contains", "list_has", "array_has"), "Spark gives NULL where a NULL element hides the answer"),
    Function("Lists and structs", "list_extract(list, n)", "as an element", "The n-th element, from 1; NULL beyond the end.", "list_extract(['a', 'b'], 2)", "b", ("list_element", "array_extract"), "list[n] fails beyond the end on Spark"),
    Function("Lists and structs", "list_filter(list, lambda x: condition)", "as the list", "The elements for which the condition is true.", "list_filter([1, 2, 3], lambda x: x > 1)", "[2, 3]", ("array_filter",)),
    Function("Lists and structs", "list_max(list)", "as an element", "The greatest element.", "list_max([1, 3, NULL])", "3"),
    Function("Lists and structs", "list_min(list)", "as an element", "The least element.", "list_min([3, 1, NULL])", "1"),
    Function("Lists and structs", "list_reverse(list)", "as the list", "The elements in reverse.", "list_reverse([1, 2, 3])", "[3, 2, 1]", ("array_reverse",), "reverse() on Spark"),
    Function("Lists and structs", "list_sort(list)", "as the list", "The elements in order, NULLs first.", "list_sort([3, 1, 2])", "[1, 2, 3]", ("array_sort",)),
    Function("Lists and structs", "list_transform(list, lambda x: expression)", "a list", "The expression for each element.", "list_transform([1, 2], lambda x: x * 10)", "[10, 20]"),
    Function("Lists and structs", "list_value(value, ...)", "a list", "A list of the values; [a, b] is the same.", "list_value(1, 2)", "[1, 2]"),
    Function("Lists and structs", "struct_extract(struct, name)", "as the field", "A field of a struct; struct.name is the same.", "struct_extract({'a': 1}, 'a')", "1"),
    Function("Lists and structs", "unnest(list)", "as an element", "A row for each element, none for an empty list; in SELECT or in FROM.", "unnest([7])", "7", rule="once in a SELECT, and as a column of its own, on Spark"),
    Function("Lists and structs", "struct_pack(name := value, ...)", "a struct", "A struct of the values; {'name': value} is the same.", "struct_pack(a := 1, b := 'x')", "{'a': 1, 'b': x}"),
)
_AGGREGATES = (
    Function("Aggregates", "arg_max(value, by)", "as the value", "The value of the row with the greatest by; without ties it is the same everywhere.", "arg_max(x, y) FROM (VALUES ('a', 1), ('b', 2)) t(x, y)", "b", ("max_by",)),
    Function("Aggregates", "arg_min(value, by)", "as the value", "The value of the row with the least by; without ties it is the same everywhere.", "arg_min(x, y) FROM (VALUES ('a', 1), ('b', 2)) t(x, y)", "a", ("min_by",)),
    Function("Aggregates", "avg(x)", "DOUBLE", "The mean of the values that are not NULL.", "avg(x) FROM (VALUES (1), (2), (NULL)) t(x)", "1.5", ("mean",), "of decimals DOUBLE, which Spark gives as a decimal"),
    Function("Aggregates", "bool_and(condition)", "BOOLEAN", "Whether all that are not NULL are true.", "bool_and(x > 0) FROM (VALUES (1), (2)) t(x)", "true"),
    Function("Aggregates", "bool_or(condition)", "BOOLEAN", "Whether any is true.", "bool_or(x > 1) FROM (VALUES (1), (2)) t(x)", "true"),
    Function("Aggregates", "corr(y, x)", "DOUBLE", "The correlation of two columns.", "corr(x, x) FROM (VALUES (1), (2), (4)) t(x)", "1.0", rule="Spark fails where a column is constant"),
    Function("Aggregates", "count(value)", "BIGINT", "How many values are not NULL; count(*) counts rows, count(DISTINCT value) values.", "count(x) FROM (VALUES (1), (NULL)) t(x)", "1"),
    Function("Aggregates", "count_if(condition)", "BIGINT", "For how many rows the condition is true.", "count_if(x > 1) FROM (VALUES (1), (2), (NULL)) t(x)", "1", ("countif",)),
    Function("Aggregates", "covar_pop(y, x)", "DOUBLE", "The covariance of the population.", "covar_pop(x, x) FROM (VALUES (1), (3)) t(x)", "1.0"),
    Function("Aggregates", "covar_samp(y, x)", "DOUBLE", "The covariance of the sample.", "covar_samp(x, x) FROM (VALUES (1), (3)) t(x)", "2.0"),
    Function("Aggregates", "max(value)", "as the value", "The greatest value; NaN is greater than all numbers.", "max(x) FROM (VALUES (1), (3), (NULL)) t(x)", "3"),
    Function("Aggregates", "median(x)", "DOUBLE, or DECIMAL as x", "The value in the middle, the mean of two if there are two.", "median(x) FROM (VALUES (1), (2), (4), (9)) t(x)", "3.0"),
    Function("Aggregates", "min(value)", "as the value", "The least value.", "min(x) FROM (VALUES (1), (3), (NULL)) t(x)", "1"),
    Function("Aggregates", "quantile_cont(x, fraction)", "DOUBLE, or DECIMAL as x", "The value below which that fraction lies, interpolated.", "quantile_cont(x, 0.25) FROM (VALUES (1), (2), (4), (9)) t(x)", "1.75", rule="percentile() on Spark"),
    Function("Aggregates", "regr_intercept(y, x)", "DOUBLE", "Where the line of least squares meets the y-axis.", "regr_intercept(y, x) FROM (VALUES (1, 3), (2, 5)) t(x, y)", "1.0"),
    Function("Aggregates", "regr_r2(y, x)", "DOUBLE", "How well the line of least squares fits, 0 to 1.", "regr_r2(y, x) FROM (VALUES (1, 3), (2, 5)) t(x, y)", "1.0"),
    Function("Aggregates", "regr_slope(y, x)", "DOUBLE", "The slope of the line of least squares.", "regr_slope(y, x) FROM (VALUES (1, 3), (2, 5)) t(x, y)", "2.0", rule="where x is constant it is NaN on DuckDB, NULL on Spark"),
    Function("Aggregates", "stddev_pop(x)", "DOUBLE", "The standard deviation of the population.", "stddev_pop(x) FROM (VALUES (1), (3)) t(x)", "1.0"),
    Function("Aggregates", "stddev_samp(x)", "DOUBLE", "The standard deviation of the sample; NULL for one value.", "stddev_samp(x) FROM (VALUES (1), (2), (3)) t(x)", "1.0", ("stddev",)),
    Function("Aggregates", "string_agg(text, separator)", "VARCHAR", "The texts that are not NULL as one; ORDER BY inside the call makes the order certain.", "string_agg(x, '+' ORDER BY x) FROM (VALUES ('b'), ('a')) t(x)", "a+b", ("group_concat", "listagg")),
    Function("Aggregates", "sum(x)", "BIGINT, DECIMAL or DOUBLE", "The sum of the values that are not NULL; NULL if there are none.", "sum(x) FROM (VALUES (1), (2), (NULL)) t(x)", "3", rule="of whole numbers BIGINT, and an overflow is an error"),
    Function("Aggregates", "var_pop(x)", "DOUBLE", "The variance of the population.", "var_pop(x) FROM (VALUES (1), (3)) t(x)", "1.0"),
    Function("Aggregates", "var_samp(x)", "DOUBLE", "The variance of the sample; NULL for one value.", "var_samp(x) FROM (VALUES (1), (3)) t(x)", "2.0", ("variance",)),
)
_WINDOWS = (
    Function("Windows", "cume_dist()", "DOUBLE", "The fraction of rows that are not after this one.", "cume_dist() OVER (ORDER BY x) FROM (VALUES (1), (2)) t(x) LIMIT 1", "0.5"),
    Function("Windows", "dense_rank()", "BIGINT", "The rank without gaps after ties.", "dense_rank() OVER (ORDER BY x) AS r FROM (VALUES (1), (1), (2)) t(x) ORDER BY r DESC LIMIT 1", "2"),
    Function("Windows", "first_value(value)", "as the value", "The value of the first row of the frame.", "first_value(x) OVER (ORDER BY x DESC) FROM (VALUES (1), (2)) t(x) LIMIT 1", "2"),
    Function("Windows", "lag(value, rows = 1, default = NULL)", "as the value", "The value some rows before.", "lag(x) OVER (ORDER BY x) AS r FROM (VALUES (1), (2)) t(x) ORDER BY r LIMIT 1", "1", rule="the number of rows is a constant on Spark"),
    Function("Windows", "last_value(value)", "as the value", "The value of the last row of the frame, which ends at this row unless it says otherwise.", "last_value(x) OVER (ORDER BY x) AS r FROM (VALUES (1), (2)) t(x) ORDER BY r LIMIT 1", "1"),
    Function("Windows", "lead(value, rows = 1, default = NULL)", "as the value", "The value some rows after.", "lead(x) OVER (ORDER BY x) AS r FROM (VALUES (1), (2)) t(x) ORDER BY r LIMIT 1", "2", rule="the number of rows is a constant on Spark"),
    Function("Windows", "nth_value(value, n)", "as the value", "The value of the n-th row of the frame.", "nth_value(x, 2) OVER (ORDER BY x) AS r FROM (VALUES (1), (2)) t(x) ORDER BY r LIMIT 1", "2"),
    Function("Windows", "ntile(n)", "BIGINT", "The number of the bucket, of n about equal ones.", "ntile(2) OVER (ORDER BY x) AS r FROM (VALUES (1), (2), (3)) t(x) ORDER BY r DESC LIMIT 1", "2"),
    Function("Windows", "percent_rank()", "DOUBLE", "The rank from 0 to 1.", "percent_rank() OVER (ORDER BY x) AS r FROM (VALUES (1), (2)) t(x) ORDER BY r DESC LIMIT 1", "1.0"),
    Function("Windows", "rank()", "BIGINT", "The rank with gaps after ties.", "rank() OVER (ORDER BY x) AS r FROM (VALUES (1), (1), (2)) t(x) ORDER BY r DESC LIMIT 1", "3"),
    Function("Windows", "row_number()", "BIGINT", "The number of the row, from 1.", "row_number() OVER (ORDER BY x) AS r FROM (VALUES (7), (8)) t(x) ORDER BY r DESC LIMIT 1", "2"),
)
# fmt: on

FUNCTIONS: tuple[Function, ...] = tuple(
    sorted(
        (*_TEXT, *_CONDITIONS, *_NUMBERS, *_DATES, *_LISTS, *_AGGREGATES, *_WINDOWS),
        key=lambda function: function.name,
    )
)
"""Every portable function, by name."""

_OVER_ROWS = frozenset(
    name for function in FUNCTIONS if function.group in ("Aggregates", "Windows") for name in function.names
)


def is_aggregate(node: exp.Expr) -> bool:
    """Whether the node calls an aggregate or window function."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in _OVER_ROWS
    return isinstance(node, exp.AggFunc | exp.RowNumber)


def portable(tree: exp.Query) -> tuple[str, ...]:
    """The functions the query calls that are not in the table, sorted: what binds it to DuckDB."""
    known = _known()
    return tuple(
        sorted(
            {
                _name(node)
                for node in tree.find_all(exp.Func)
                if not isinstance(node, _NO_CALL) and _key(node) not in known
            }
        )
    )


_NO_CALL = (exp.Connector, exp.Cast, exp.TryCast, exp.Case, exp.Exists, exp.Unnest)
"""What sqlglot counts among functions and SQL among operators; of unnest, that in FROM."""


def _key(node: exp.Expr) -> type[exp.Expr] | str:
    return node.name.lower() if isinstance(node, exp.Anonymous) else type(node)


def _name(node: exp.Func) -> str:
    written = node.sql("duckdb").partition("(")[0].lower()
    return written if written.isidentifier() else node.sql_name().lower()


@cache
def _known() -> frozenset[type[exp.Expr] | str]:
    """How sqlglot keeps the calls of the table: as a class of its own or by name."""
    duckdb = Dialect.get_or_raise("duckdb")
    keys: set[type[exp.Expr] | str] = set()
    for function in FUNCTIONS:
        call = function.example.partition(" FROM (VALUES")[0].removesuffix(" AS r")
        for name in function.names:
            tree = duckdb.parse_into(exp.Condition, name + call.removeprefix(function.name))[0]
            node = tree.find(exp.Func) if tree else None
            if node is not None:
                keys.add(_key(node))
    return frozenset(keys)
