"""Placeholders in values: three spellings, types kept, nothing rendered twice, nothing executed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odibi.config.template import TemplateError, names, render, render_sql
from odibi.errors import ConfigError

CONTEXT: dict[str, Any] = {
    "date": "2024-01-15",
    "n": 500,
    "ratio": 1.5,
    "on": True,
    "nothing": None,
    "braces": "{{ date }}",
    "shop": {"name": "Nord", "sizes": [1, 2]},
}


@pytest.mark.parametrize(
    "text", ["{{ date }}", "{{date}}", "{{.date}}", "{{ .date }}", "{{- date -}}", "{date}"]
)
def test_all_spellings_give_the_same(text: str) -> None:
    assert render(text, CONTEXT, path=True) == "2024-01-15"


RENDERED: list[tuple[str, Any]] = [
    ("plain", "plain"),
    ("a/{{ date }}.csv", "a/2024-01-15.csv"),
    ("{{ n }}", 500),
    ("  {{ n }}  ", 500),
    ("{{.n}}", 500),
    ("{{ ratio }}", 1.5),
    ("{{ on }}", True),
    ("{{ nothing }}", None),
    ("{{ shop }}", {"name": "Nord", "sizes": [1, 2]}),
    ("{{ shop.sizes }}", [1, 2]),
    ("{{ n + 1 }}", 501),
    ("{{ -n }}", -500),
    ("{{ n }}{{ n }}", "500500"),
    ("{{ n }} of {{ on }}", "500 of True"),
    ("{{ braces }}", "{{ date }}"),
    ("{{ braces }} x", "{{ date }} x"),
    ("{{ shop.name | upper }}!", "NORD!"),
    ("{{ other | default('x') }}", "x"),
    ("{% if other is defined %}a{% else %}b{% endif %}", "b"),
    ("{% for size in shop.sizes %}{{ size }},{% endfor %}", "1,2,"),
    ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
    ("{{ true }}", True),
    ("line\n{{ n }}\n", "line\n500\n"),
    ("{date}", "{date}"),
    ("select {'a': 1}", "select {'a': 1}"),
    ("${env:X}/{{ date }}/${secret:y}", "${env:X}/2024-01-15/${secret:y}"),
]


@pytest.mark.parametrize(("text", "value"), RENDERED)
def test_rendering(text: str, value: Any) -> None:
    found = render(text, CONTEXT)
    assert found == value
    assert type(found) is type(value)


PATHS = [
    ("orders/{date}.csv", "orders/2024-01-15.csv"),
    ("{n}", "500"),
    ("{{ n }}", "500"),
    ("${date}", "${date}"),
    ("{a,b}.csv", "{a,b}.csv"),
    ("{{date}}/{date}", "2024-01-15/2024-01-15"),
    ("{braces}", "{{ date }}"),
]


@pytest.mark.parametrize(("text", "value"), PATHS)
def test_rendering_of_paths(text: str, value: str) -> None:
    assert render(text, CONTEXT, path=True) == value


REFUSED = [
    ("{{ dtae }}", "Unresolved template placeholders found: dtae", "did you mean 'date'?"),
    ("{{ x }}{{ y }}", "Unresolved template placeholders found: x, y", ""),
    ("{% if false %}{{ x }}{% endif %}", "Unresolved template placeholders found: x", ""),
    ("{{ range(9) }}", "Unresolved template placeholders found: range", ""),
    ("{{ shop.nmae }}", "Unresolved template placeholders found: 'dict object' has no attribute 'nmae'", ""),
    ("{{ ''.__class__ }}", "the template asks for what is not allowed: access to attribute '__class__'", ""),
    (
        "x{{ ''.__class__.__mro__ }}",
        "the template asks for what is not allowed: access to attribute '__class__'",
        "",
    ),
    (
        "{{ shop.sizes.append(3) }}",
        "the template asks for what is not allowed: access to attribute 'append'",
        "",
    ),
    ("{{ date.upper }}", "the template gives builtin_function_or_method, not a value", "end it with"),
    ("{{ shop.sizes | map('string') }}", "the template gives generator, not a value", "end it with"),
    ("{{ n + }}", "not a template: unexpected 'end of print statement'", "{% raw %}"),
    ("{{ n", "not a template: ", "{% raw %}"),
    ("{{ n | shout }}", "not a template: No filter named 'shout'", ""),
    ("{{ n / 0 }}", "the template fails: ZeroDivisionError: division by zero", ""),
    ("{% include 'x' %}", "the template fails: ", ""),
]


@pytest.mark.parametrize(("text", "message", "hint"), REFUSED)
def test_refusals(text: str, message: str, hint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text, CONTEXT)
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


def test_the_names_a_text_uses() -> None:
    assert names("{{ a }}/{{.b}}/{c}", path=True) == {"a", "b", "c"}
    assert names("{{ a | default(b) }}{c}") == {"a", "b"}
    assert names("{c}") == set()


@settings(max_examples=60, deadline=None)
@given(value=st.text())
def test_values_are_put_in_as_they_are_and_never_read_again(value: str) -> None:
    context = {"value": value}
    assert render("{{ value }}", context) == value
    assert render("<{{ value }}>", context) == f"<{value}>"
    assert render("<{value}>", context, path=True) == f"<{value}>"
    assert render("<{{ value | string }}>", context) == f"<{value}>", "through Jinja itself"


def test_sql_files_are_touched_only_where_they_are_templates() -> None:
    assert render_sql("select {'a': 1}, '{date}'\n", CONTEXT, "q.sql") == "select {'a': 1}, '{date}'\n"
    assert render_sql("select '{{ date }}'\n", CONTEXT, "q.sql") == "select '2024-01-15'\n"
    assert render_sql("{{ n }}", CONTEXT, "q.sql") == "500"


def test_problems_of_sql_files_name_the_file() -> None:
    with pytest.raises(ConfigError, match=r"^q\.sql:3: not a template: "):
        render_sql("select 1,\n2,\n{{ n + }}", CONTEXT, "q.sql")
    with pytest.raises(ConfigError, match=r"^q\.sql:1: Unresolved template placeholders found: x "):
        render_sql("{{ x }}", CONTEXT, "q.sql")
