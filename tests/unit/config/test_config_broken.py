"""Every mistake is told once, in words, at its place: a table of broken configs and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from odibi.config import load
from odibi.errors import ConfigError

HEAD = """\
pipeline: shop
connections:
  lake: {url: lake}
steps:
  - name: raw
    layer: bronze
    read: {from: lake, path: a.csv}
    write: {to: lake}
"""
CLUSTER = "kubernetes:\n  image: odibi:1.0\n  tasks: /tasks\n"
LAYERS = "connect, ingest, transform, store, publish, bronze, silver, gold"
NAMES = "use letters, digits, _ and -, and begin with a letter"


def step(*lines: str) -> str:
    """A second step, from line 9 on; its keys begin in column 5."""
    return HEAD + "  - " + "\n    ".join(lines) + "\n"


BROKEN: dict[str, tuple[str, list[str]]] = {
    # Keys and shapes of steps
    "unknown key": (
        step("name: a", "layer: silver", "inputs: [raw]", "transfrom: [{filter: x > 0}]"),
        ["12:5: step 'a': unknown key 'transfrom' (did you mean 'transform'?)"],
    ),
    "unknown key, nothing near": (
        step("name: a", "layer: silver", "sql: select 1", "zzz: 1"),
        [
            (
                "12:5: step 'a': unknown key 'zzz' "
                "(known keys: cache, checks, command, count_rows, depends_on, description, engine, function, ...)"
            )
        ],
    ),
    "missing name": (step("layer: silver", "sql: select 1"), ["9:5: step 2: 'name' is missing"]),
    "missing layer": (step("name: a", "sql: select 1"), ["9:5: step 'a': 'layer' is missing"]),
    "missing value": (step("name: a", "layer: silver", "type: sql"), ["9:5: step 'a': 'value' is missing"]),
    "nothing to do": (
        step("name: a", "layer: silver", "inputs: [raw]"),
        [
            (
                "9:5: step 'a': the step does not say what it does "
                "(give one of read, transform, sql, function, command, script, quality_check, or type and value)"
            )
        ],
    ),
    "two things to do": (
        step("name: a", "layer: silver", "sql: select 1", "read: a.csv"),
        ["9:5: step 'a': a step does one thing, this one says read and sql"],
    ),
    "unknown layer": (
        step("name: a", "layer: platinum", "sql: select 1"),
        [f"10:12: step 'a': layer: found 'platinum' (allowed: {LAYERS})"],
    ),
    "misspelt layer": (
        step("name: a", "layer: Sliver", "sql: select 1"),
        [f"10:12: step 'a': layer: found 'Sliver' (did you mean 'silver'? allowed: {LAYERS})"],
    ),
    "unknown type": (
        step("name: a", "layer: silver", "type: sequel", "value: select 1"),
        [
            "11:11: step 'a': type: found 'sequel' (did you mean 'sql'? allowed: config_op, sql, function, command)"
        ],
    ),
    "bad name": (
        step("name: my step", "layer: silver", "sql: select 1"),
        [f"9:11: step 'my step': name: found 'my step' ({NAMES})"],
    ),
    "text expected": (
        step("name: a", "layer: silver", "sql: 5", "description: [a]"),
        [
            "11:10: step 'a': value: expected text, found 5 (put it into quotes)",
            "12:18: step 'a': description: expected text, found a list",
        ],
    ),
    "list expected": (
        step("name: a", "layer: silver", "sql: select 1", "tags: {a: b}"),
        ["12:11: step 'a': tags: expected a list, found a mapping"],
    ),
    "bad write": (
        step(
            "name: a",
            "layer: silver",
            "sql: select 1",
            "write:",
            "  to: lake",
            "  mode: upsert",
            "  formt: csv",
        ),
        [
            "14:13: step 'a': write.mode: found 'upsert' (allowed: overwrite, append, merge, scd2, replace_where, replace_partitions)",
            "15:7: step 'a': unknown key 'formt' (did you mean 'formats'?)",
        ],
    ),
    "bad format": (
        step("name: a", "layer: silver", "sql: select 1", "write: {to: lake, format: xml}"),
        ["12:31: step 'a': write.formats.0: found 'xml' (allowed: delta, parquet, csv, json)"],
    ),
    "bad operations": (
        step("name: a", "layer: silver", "inputs: [raw]", "transform: [filter]"),
        ["12:16: step 'a': transform: expected one operation per entry, found 'filter'"],
    ),
    "bad canonical operations": (
        step(
            "name: a",
            "layer: silver",
            "type: config_op",
            "value: x",
            "inputs: [raw]",
            "params: {operations: 5}",
        ),
        [("14:13: step 'a': params: operations: expected a list of operations, such as [{filter: 'x > 0'}]")],
    ),
    "params as a list": (
        step("name: a", "layer: silver", "function: m:f", "params: [x]"),
        ["12:13: step 'a': params: expected a mapping, found ['x']"],
    ),
    "inputs that are no names": (
        step("name: a", "layer: silver", "sql: select 1", "inputs: [5]"),
        ["12:13: step 'a': inputs: expected the name of a dataset, found 5"],
    ),
    "output twice": (
        step("name: a", "layer: silver", "sql: select 1", "outputs: [b, b]"),
        ["12:14: step 'a': outputs: a dataset is given twice"],
    ),
    "path without a value": (
        step("name: a", "layer: silver", "read: {path: }"),
        ["11:11: step 'a': read: expected {from: connection, path: file}, path is missing"],
    ),
    "connection that is no name": (
        step("name: a", "layer: silver", "read: {from: [lake], path: x}"),
        ["11:18: step 'a': expected the name of a connection, found a list"],
    ),
    "read without path": (
        step("name: a", "layer: silver", "read: {from: lake}"),
        ["11:11: step 'a': read: expected {from: connection, path: file}, path is missing"],
    ),
    "ambiguous": (
        step("name: a", "layer: silver", "type: config_op", "value: x", "inputs: [raw]", "outputs: b"),
        [
            (
                "9:5: step 'a': a config_op with both inputs and outputs is ambiguous: give params.operations to "
                "transform, drop outputs to store, drop inputs to ingest"
            )
        ],
    ),
    "of a later version": (
        step("name: a", "layer: silver", "sql: select 1", "condition: x", "on_code_change: rebuild"),
        [
            "12:5: step 'a': 'condition' is not available in this version of odibi (remove it)",
            "13:5: step 'a': 'on_code_change' is not available in this version of odibi (remove it)",
        ],
    ),
    # Where steps run, and what their pods are given
    "a runtime that is none": (
        step("name: a", "layer: silver", "sql: select 1", "runtime: kubernets", "workload_class: Compute"),
        [
            (
                "12:14: step 'a': runtime: found 'kubernets' "
                "(did you mean 'kubernetes'? allowed: local, kubernetes, auto)"
            ),
            (
                "13:21: step 'a': workload_class: found 'Compute' "
                "(allowed: NetworkIntensive, ComputeIntensive, MemoryIntensive, IOIntensive)"
            ),
        ],
    ),
    "a runtime without a cluster": (
        step("name: a", "layer: silver", "sql: select 1", "runtime: auto")
        + "runtime: {bronze: local, gold: kubernetes}\n",
        [
            "12:14: step 'a': runtime auto: the pipeline names no cluster (give kubernetes: {image, tasks})",
            "13:10: runtime kubernetes: the pipeline names no cluster (give kubernetes: {image, tasks})",
        ],
    ),
    "a runtime for all that is none": (
        HEAD + CLUSTER + "runtime: kubernets\n",
        ["12:10: runtime: found 'kubernets'; did you mean 'kubernetes'?"],
    ),
    "a runtime of no kind": (
        HEAD + CLUSTER + "runtime: [gold]\n",
        ["12:10: runtime: expected local, kubernetes or auto, or these by layer: {gold: kubernetes}"],
    ),
    "a runtime of an unknown layer": (
        HEAD + CLUSTER + "runtime: {gould: kubernetes}\n",
        ["12:10: runtime: unknown layer 'gould'; did you mean 'gold'?"],
    ),
    "a runtime of a layer that is none": (
        HEAD + CLUSTER + "runtime: {gold: spark}\n",
        ["12:10: runtime: found 'spark'; allowed: auto, kubernetes, local"],
    ),
    "keys of a cluster": (
        HEAD
        + "kubernetes: {image: odibi:1.0, task: /t, profil: seed, priority: urgent, spark: {executor: 2}}\n",
        [
            "9:32: unknown key 'task' (did you mean 'tasks'?)",
            "9:42: unknown key 'profil' (did you mean 'profile'?)",
            "9:66: kubernetes.priority: found 'urgent' (allowed: critical, high, normal, low)",
            "9:82: unknown key 'executor' (did you mean 'executors'?)",
        ],
    ),
    "a cluster without its image": (
        HEAD + "kubernetes: {tasks: /t}\n",
        ["9:13: 'kubernetes.image' is missing"],
    ),
    "an image without a tag": (
        HEAD + "kubernetes: {image: odibi, tasks: /t}\n",
        ["9:21: image: 'odibi' names no version: end it with a tag other than latest, or a digest"],
    ),
    "an image that changes": (
        HEAD + "kubernetes: {image: 'odibi:latest', tasks: /t}\n",
        ["9:21: image: 'odibi:latest' names no version: end it with a tag other than latest, or a digest"],
    ),
    "an image that is none": (
        HEAD + "kubernetes: {image: My Image:1, tasks: /t}\n",
        ["9:21: image: 'My Image:1' is no image: such as registry.example/odibi:0.1.0, in small letters"],
    ),
    "an image with Spark without a tag": (
        HEAD + "runtime: kubernetes\n" + CLUSTER + "  spark_image: odibi-spark\n",
        [
            "13:16: spark_image: 'odibi-spark' names no version: end it with a tag other than latest, or a digest"
        ],
    ),
    "a cluster of which a part is missing": (
        HEAD + "runtime: kubernetes\nkubernetes: {image: odibi:1}\n",
        ["10:13: 'kubernetes.tasks' is missing"],
    ),
    "a variable of a pod that is none": (
        HEAD + CLUSTER + "  env: {MY VAR: x}\n",
        [
            "12:9: kubernetes.env.MY VAR: found 'MY VAR' (use letters, digits, -, . and _, and begin with no digit)"
        ],
    ),
    "no processor": (
        step("name: a", "layer: silver", "sql: select 1 as x", "resources: {requests: {cpu: 0}}"),
        ["12:16: step 'a': requests.cpu: 0 is too little: such as 500m or 2"],
    ),
    "some bytes of memory": (
        step("name: a", "layer: silver", "sql: select 1 as x", "resources: {limits: {memory: 64}}"),
        [
            "12:16: step 'a': limits.memory: 64 is too little: without a unit it is bytes; such as 512Mi or 4Gi"
        ],
    ),
    "a volume of two kinds": (
        HEAD + CLUSTER + "  volumes: [{name: a, mount: /a, claim: x, secret: y}]\n",
        ["12:13: a volume is one of claim, host_path, secret, config_map and empty_dir: true"],
    ),
    "a volume of no kind": (
        HEAD + CLUSTER + "  volumes: [{name: a, mount: /a}]\n",
        ["12:13: a volume is one of claim, host_path, secret, config_map and empty_dir: true"],
    ),
    "a volume at no place": (
        HEAD + CLUSTER + "  volumes: [{name: a, mount: a, claim: x}]\n",
        ["12:30: kubernetes.volumes.0.mount: found 'a' (a path such as /data)"],
    ),
    "two volumes of one name": (
        HEAD + CLUSTER + "  volumes: [{name: a, mount: /a, claim: x}, {name: a, mount: /b, claim: y}]\n",
        ["10:3: volumes: 'a' is given twice"],
    ),
    "a variable from two places": (
        HEAD + CLUSTER + "  env: {A: x}\n  secrets: {A: {secret: s, key: k}}\n",
        ["10:3: 'A' is in env and in secrets"],
    ),
    "values of a cluster": (
        HEAD + CLUSTER + "  threshold: much\n  namespace: Prod\n  backoff_limit: -1\n  env: {A: 5}\n"
        "  secrets: {B: {secret: s}}\n  spark: {memory: 1GB, cores: 0}\n",
        [
            "12:14: kubernetes.threshold: found 'much' (such as 500MB)",
            (
                "13:14: kubernetes.namespace: found 'Prod' "
                "(use small letters, digits, - and ., and begin and end with a letter or digit)"
            ),
            "14:18: kubernetes.backoff_limit: found -1, expected at least 0",
            "15:12: kubernetes.env.A: expected text, found 5 (put it into quotes)",
            "16:16: 'kubernetes.secrets.B.key' is missing",
            "17:19: kubernetes.spark.memory: found '1GB' (such as 512m or 4g)",
            "17:31: kubernetes.spark.cores: found 0, expected at least 1",
        ],
    ),
    "an operation without SQL": (
        step("name: a", "layer: silver", "inputs: [raw]", "transform: [{select: x}]", "operation: postgres"),
        ["13:16: step 'a': operation: postgres belongs to a step with sql"],
    ),
    "an operation that is none": (
        step("name: a", "layer: silver", "sql: select 1 as x", "operation: mysql"),
        ["12:16: step 'a': operation: found 'mysql' (allowed: postgres)"],
    ),
    "nodes of no class": (
        HEAD + CLUSTER + "  node_selectors: {Memory: {pool: large}, IOIntensive: fast}\n",
        [
            (
                "12:28: kubernetes.node_selectors.Memory: found 'Memory' "
                "(allowed: NetworkIntensive, ComputeIntensive, MemoryIntensive, IOIntensive)"
            ),
            "12:56: kubernetes.node_selectors.IOIntensive: expected a mapping, found 'fast'",
        ],
    ),
    "more executors to begin with than ever": (
        HEAD + CLUSTER + "  spark: {executors: 4, max_executors: 2}\n",
        ["12:10: max_executors: 2 is less than executors: 4"],
    ),
    "quantities": (
        step(
            "name: a",
            "layer: silver",
            "sql: select 1",
            "resources: {requests: {cpu: 500mm, memory: lots, disk: 5Gi}}",
        ),
        [
            "12:33: step 'a': resources.requests.cpu: found '500mm' (such as 500m or 2)",
            "12:48: step 'a': resources.requests.memory: found 'lots' (such as 512Mi or 4Gi)",
            "12:60: step 'a': resources.requests.disk: found 'disk' (allowed: cpu, memory, ephemeral-storage)",
        ],
    ),
    "more requested than allowed": (
        step(
            "name: a",
            "layer: silver",
            "sql: select 1",
            "resources: {requests: {memory: 10Gi}, limits: {memory: 8Gi}}",
        ),
        ["12:16: step 'a': the step requests 10Gi of memory, and its limit is 8Gi"],
    ),
    "retries and limits": (
        step(
            "name: a",
            "layer: silver",
            "sql: select 1",
            "retry: {max_retry: 3, retry_rules: [{then: retry}, {message: 'x(', then: stop}]}",
            "timeout: 0",
            "resources: {memory: 200 megabytes}",
        ),
        [
            "12:13: step 'a': unknown key 'max_retry' (did you mean 'max_retries'?)",
            "12:41: step 'a': a rule needs error, exit_code or message",
            "12:78: step 'a': retry.retry_rules.1.then: found 'stop' (allowed: retry, escalate, skip)",
            "13:14: step 'a': timeout: found 0, expected more than 0",
            "14:25: step 'a': resources.memory: found '200 megabytes' (such as 200MB or 2Gi)",
        ],
    ),
    "rows of another kind": (
        step("name: a", "layer: silver", "inputs: [{from: raw, rows: old}]", "sql: select 1"),
        ["11:13: step 'a': inputs: rows: expected new, found 'old'; leave it out to read all rows"],
    ),
    "late by no column": (
        step("name: a", "layer: silver", "inputs: [{from: raw, rows: new, late: 2 days}]", "sql: select 1"),
        ["11:14: step 'a': late needs watermark: the column that says when a row is of"],
    ),
    "late in other words": (
        step(
            "name: a",
            "layer: silver",
            "inputs: [{from: raw, rows: new, watermark: at, late: two}]",
            "sql: select 1",
        ),
        ["11:58: step 'a': incremental.raw.late: found 'two' (such as 2 days)"],
    ),
    "no mapping": (
        HEAD + "  - hello\n  -\n",
        [
            "9:5: step 2: expected a mapping, found 'hello'",
            "10:4: step 3: expected a mapping, found nothing",
        ],
    ),
    # Names that mean nothing
    "duplicate step": (
        step("name: raw", "layer: silver", "sql: select 1"),
        ["9:11: step 'raw': the name is taken by the step in line 5 (give it another name)"],
    ),
    "duplicate dataset": (
        step("name: a", "layer: silver", "sql: select 1", "outputs: {data: raw}"),
        ["12:21: step 'a': step 'raw' makes the dataset 'raw' already (give it another name)"],
    ),
    "datasets that differ in case": (
        step("name: RAW", "layer: silver", "sql: select 1"),
        [
            (
                "9:5: step 'RAW': step 'raw' makes the dataset 'raw' already "
                "(give it another name; upper and lower case are the same)"
            )
        ],
    ),
    "unknown input": (
        step("name: a", "layer: silver", "inputs:", "  - raw", "  - {from: rwa, as: b}", "sql: select 1"),
        ["13:9: step 'a': unknown input dataset 'rwa' (did you mean 'raw'?)"],
    ),
    "input of a store": (
        step("name: keep", "layer: store", "type: config_op", "value: x.csv", "inputs: [raw]")
        + "  - {name: a, layer: gold, sql: select 1, inputs: {b: keep}}\n",
        [
            (
                "14:55: step 'a': unknown input dataset 'keep' "
                "(the step of that name stores and hands nothing on; use depends_on to run after it)"
            )
        ],
    ),
    "input of no pipeline": (
        step("name: a", "layer: silver", "inputs: [crm.people]", "sql: select 1"),
        ["11:14: step 'a': unknown input dataset 'crm.people': there is no crm.yaml beside c.yaml"],
    ),
    "input of itself": (
        step("name: a", "layer: silver", "inputs: [shop.raw]", "sql: select 1"),
        ["11:14: step 'a': the input 'shop.raw' is of this very pipeline (write raw)"],
    ),
    "unknown dependency": (
        step("name: a", "layer: silver", "sql: select 1", "depends_on: [raw, rav]"),
        ["12:23: step 'a': depends_on names an unknown step 'rav' (did you mean 'raw'?)"],
    ),
    "cycle": (
        step("name: a", "layer: silver", "sql: select 1", "inputs: [c]")
        + "  - {name: b, layer: silver, sql: select 1, inputs: [a]}\n"
        + "  - {name: c, layer: silver, sql: select 1, depends_on: b}\n"
        + "  - {name: d, layer: silver, sql: select 1, inputs: [d]}\n",
        [
            "9:5: step 'a': the steps wait for each other: a -> b -> c -> a (remove one of these inputs)",
            "15:5: step 'd': the steps wait for each other: d -> d (remove one of these inputs)",
        ],
    ),
    "unknown connection": (
        step("name: a", "layer: bronze", "read: {from: lak, path: x}", "write: {to: alke}")
        + "  - {name: b, layer: store, type: config_op, value: x, params: {to: lakes}, inputs: [a]}\n",
        [
            "11:18: step 'a': unknown connection 'lak' (did you mean 'lake'?)",
            "12:17: step 'a': unknown connection 'alke' (did you mean 'lake'?)",
            "13:69: step 'b': unknown connection 'lakes' (did you mean 'lake'?)",
        ],
    ),
    "write to nowhere": (
        step("name: a", "layer: silver", "sql: select 1", "write: {mode: append}"),
        ["12:12: step 'a': write does not say where to (give it a connection (to) or a path)"],
    ),
    "missing sql file": (
        step("name: a", "layer: silver", "sql: steps/revenu.sql"),
        ["11:10: step 'a': there is no file 'steps/revenu.sql' (did you mean 'revenue.sql'?)"],
    ),
    "dataset called as SQL": (
        step("name: Order", "layer: silver", "sql: select 1"),
        ["9:11: step 'Order': 'Order' is a word of SQL, no table can be called so (rename it)"],
    ),
    "bad alias": (
        step("name: a", "layer: silver", "inputs: {left: raw, my raw: raw}", "sql: select 1"),
        [
            (
                "11:20: step 'a': the input's alias 'left' is a word of SQL "
                "(it becomes the name of a table: use letters, digits and _)"
            ),
            (
                "11:33: step 'a': the input's alias 'my raw' is not a name "
                "(it becomes the name of a table: use letters, digits and _)"
            ),
        ],
    ),
    "secret in SQL": (
        step("name: a", "layer: silver", "inputs: [raw]", "transform:", "  - filter: key = '${secret:key}'"),
        [
            (
                "13:9: step 'a': the reference ${secret:key} stands in SQL, where it is not resolved "
                "(secrets belong to connections; other values to variables)"
            )
        ],
    ),
    # Templates
    "unresolved placeholder": (
        step("name: a", "layer: silver", "sql: select '{{ dtae }}'", "write: {to: lake, path: 'x/{dat}'}"),
        [
            "11:10: Unresolved template placeholders found: dtae (did you mean 'date'?)",
            "12:29: Unresolved template placeholders found: dat (did you mean 'date'?)",
        ],
    ),
    "forbidden template": (
        step("name: a", "layer: silver", "sql: \"{{ ''.__class__ }}\""),
        [
            (
                "11:10: the template asks for what is not allowed: "
                "access to attribute '__class__' of 'str' object is unsafe."
            )
        ],
    ),
    "no template": (
        step("name: a", "layer: silver", "sql: select {{ date + }}"),
        [
            (
                "11:10: not a template: unexpected 'end of print statement' "
                "(put {% raw %} and {% endraw %} around braces that are meant as such)"
            )
        ],
    ),
    # The pipeline itself
    "no pipeline": (HEAD.replace("pipeline: shop\n", ""), ["1:1: 'pipeline' is missing"]),
    "no steps": ("pipeline: shop\n", ["1:1: 'steps' is missing"]),
    "empty steps": ("pipeline: shop\nsteps: []\n", ["2:8: steps: at least 1 is needed"]),
    "steps as a mapping": (
        "pipeline: shop\nsteps: {a: b}\n",
        ["2:8: steps: expected a list, found a mapping"],
    ),
    "memory that no run has": (
        HEAD + "memory_limit: 150%\n",
        ["9:15: memory_limit: found '150%', which no run can work with: such as 2GB or 80%"],
    ),
    "misspelt steps": (
        "pipeline: shop\nstep:\n  - {name: a}\n",
        ["2:1: unknown key 'step' (did you mean 'steps'?)"],
    ),
    "header": (
        HEAD
        + "onwer: x\nschedule: daily\nsamples: many\nfail_fast: maybe\nmemory_limit: lots\ndate: 2024-13-01\n"
        "timezone: Europe/Berln\ndistributed_max_workers: 0\nengine: polars\n",
        [
            "9:1: unknown key 'onwer' (did you mean 'owner'?)",
            "10:1: 'schedule' is not available in this version of odibi (remove it)",
            "11:10: samples: expected a whole number, found 'many'",
            "12:12: fail_fast: expected true or false, found 'maybe'",
            "13:15: memory_limit: found 'lots' (such as 2GB or 80%)",
            "14:7: date: '2024-13-01' is not a date (such as 2024-01-15, today or yesterday)",
            "15:11: 'Europe/Berln' is not a time zone (did you mean 'Europe/Berlin'?)",
            "16:26: distributed_max_workers: found 0, expected at least 1",
            "17:9: engine: found 'polars' (allowed: duckdb, pandas, spark, auto)",
        ],
    ),
    "two spellings": (
        HEAD + "engine: duckdb\nengine_type: duckdb\n",
        ["1:1: give either engine or engine_type, not both"],
    ),
    "connections": (
        HEAD.replace("{url: lake}", "{ulr: lake}")
        + "targets:\n  prod:\n    connections: {lake: {}, a b: {url: x}}\n"
        "    variable: {}\n",
        [
            "3:10: unknown key 'ulr' (did you mean 'url'?)",
            "11:25: a connection needs a url, or a catalog and schema",
            f"11:29: targets.prod.connections.a b: found 'a b' ({NAMES})",
            "12:5: unknown key 'variable' (did you mean 'variables'?)",
        ],
    ),
    "option of a connection": (
        HEAD.replace("{url: lake}", "{url: lake, options: [key]}"),
        ["3:30: connections.lake.options: expected a mapping, found a value of another kind"],
    ),
    "no reference": (
        HEAD.replace("{url: lake}", "{url: '${vault:x}'}"),
        [
            (
                "3:15: '${vault:x}' is not a reference "
                "(write ${env:NAME}, ${env:NAME:-default} or ${secret:name}; $${ stands for ${ itself)"
            )
        ],
    ),
    "reserved variable": (
        HEAD + "variables: {date: x}\n",
        ["9:19: the name 'date' belongs to odibi (choose another name for the variable)"],
    ),
    # All of it at once
    "several kinds": (
        step("name: a", "layer: sliver", "inputs: [rwa]", "sql: select '{{ x }}'", "wirte: {to: lak}")
        + "  - {name: b, layer: gold, sql: select 1, inputs: [a]}\n"
        + "bogus: 1\n",
        [
            "9:5: step 'a': unknown connection 'lak' (did you mean 'lake'?)",
            f"10:12: step 'a': layer: found 'sliver' (did you mean 'silver'? allowed: {LAYERS})",
            "11:14: step 'a': unknown input dataset 'rwa' (did you mean 'raw'?)",
            (
                "12:10: Unresolved template placeholders found: x "
                "(known: date, engine, pipeline, pipeline_id, target, timestamp)"
            ),
            "13:5: step 'a': unknown key 'wirte' (did you mean 'write'?)",
            (
                "15:1: unknown key 'bogus' "
                "(known keys: alerts, backend, cache_dir, cache_keep_days, cache_max_size, checkpoint_dir, "
                "checkpoint_interval, checkpoint_keep, ...)"
            ),
        ],
    ),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_said(
    text: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("steps").mkdir()
    Path("steps/revenue.sql").write_text("select 1")
    Path("c.yaml").write_text(text, encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError) as caught:
        load("c.yaml", environ={})
    assert str(caught.value).split("\n") == [f"c.yaml:{line}" for line in expected]
    assert sorted(tmp_path.rglob("*")) == before


def test_the_head_alone_is_right(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(HEAD)
    assert load(tmp_path / "c.yaml").pipeline.pipeline == "shop"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"date": "2024-02-30"},
            "c.yaml: --date: '2024-02-30' is not a date (such as 2024-01-15, today or yesterday)",
        ),
        ({"target": "prod"}, "c.yaml:1:1: unknown target 'prod' (targets: dev)"),
        (
            {"engine": "spak"},
            "c.yaml:1:1: engine: found 'spak' (did you mean 'spark'? allowed: duckdb, pandas, spark, auto)",
        ),
        ({"params": {"regoin": "x"}}, "c.yaml: --param regoin: nothing in the config uses it"),
        ({"params": {"date": "x"}}, "c.yaml: --param date: the name 'date' belongs to odibi (give --date)"),
    ],
)
def test_what_is_said_of_arguments(
    arguments: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(HEAD)
    with pytest.raises(ConfigError) as caught:
        load("c.yaml", environ={}, **arguments)
    assert str(caught.value) == message


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("daily.yaml").write_text(HEAD)
    for path, message in {
        "dayli.yaml": "dayli.yaml: there is no such file (did you mean 'daily.yaml'?)",
        "nowhere/x.yaml": "nowhere/x.yaml: there is no such file",
        ".": ".: this is a folder, not a file (there are: daily.yaml)",
        "daily.yaml/x": "daily.yaml/x: the file cannot be read: Not a directory",
    }.items():
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(caught.value) == message
