"""The JSON schema of a config, for editors: completion, hover and red lines while one types.

Made from the models, so it cannot lag behind them; this adds what only people write (the short
form of a step, other spellings) and turns the result into draft-07, which editors understand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odibi.config.build import AS_WRITTEN
from odibi.config.checks import RULES
from odibi.config.models import Pipeline
from odibi.config.short import READ_INSTEAD, VERBS

__all__ = ["json_schema"]

_TEXT = {"type": "string"}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_TEMPLATE = {"type": "string", "pattern": r"\{[{%]"}
_INPUT = {
    "type": "object",
    "properties": {
        "from": _TEXT,
        "as": _TEXT,
        "rows": {"enum": ["new"]},
        "watermark": _TEXT,
        "late": _TEXT,
    },
    "required": ["from"],
    "additionalProperties": False,
}

_HELP: Mapping[str, Mapping[str, str]] = {
    "Pipeline": {
        "pipeline": "The name of the pipeline.",
        "name": "Another spelling of pipeline.",
        "description": "What the pipeline is for.",
        "owner": "Who looks after it.",
        "runbook": "Where to read what to do when it fails.",
        "rehearsed": "When resume and rollback were last tried: {resume: 2026-01-05, rollback: 2026-01-05}.",
        "engine": "Who computes.",
        "engine_type": "Another spelling of engine.",
        "engines": "Who computes the steps of a layer, if not the pipeline's engine: {silver: spark}.",
        "engine_threshold": "How much a step may read before the engine auto takes Spark, such as 500MB.",
        "date": "The logical date: an ISO date, today or yesterday. The default is yesterday.",
        "runtime": "Where steps run: local, kubernetes or auto; or by layer: {silver: kubernetes}.",
        "kubernetes": "The cluster, and what its pods are given: {image: ..., tasks: ...}.",
        "timezone": "The IANA time zone in which days begin, such as Europe/Berlin.",
        "variables": "Values that templates name: {{ name }}. --param name=value sets them from outside.",
        "connections": "The places that read and write name, with credentials by reference.",
        "targets": "What differs in dev, prod and so on; --target or ODIBI_TARGET chooses.",
        "validation_rules": "The rule set of all steps with checks: standard, strict, or one of rule_sets.",
        "rule_sets": "Checks under a name, and what a broken rule means: {money: {rows: quarantine, checks: [...]}}.",
        "secrets": "Where ${secret:name} is kept, in the order asked: {provider: env}, or a list of providers.",
        "sensitive": "Columns that samples and stories mask; * stands for any characters.",
        "memory_limit": "The memory the engine may use in a run, such as 2GB or 80%.",
        "success": "How many sources of a layer must succeed: all, any, {min_success: 2}; or by layer: {bronze: any}.",
        "fail_fast": "Stop everything when a step fails; else only what depends on it.",
        "max_retries": "How often a step that failed is tried again.",
        "retry_delay": "Seconds before the first retry.",
        "retry_backoff": "Wait twice as long before each further retry; else always as long.",
        "retry_max_delay": "Seconds that a wait never exceeds.",
        "retry_budget": "How many retries a run has for all its steps; without it, as many as they need.",
        "retry_rules": "What failures mean, before odibi's own table: [{error: ValueError, then: retry}].",
        "timeout_seconds": "How long a run may take; it ends with code 4.",
        "distributed": "Run steps that do not wait for each other at the same time.",
        "distributed_max_workers": "How many steps may run at the same time.",
        "backend": "Where functions run: in threads of this process, or in processes of their own.",
        "enable_tracker": "Record samples and lineage.",
        "lineage": "Who else is told the lineage of runs: {openlineage: {url: ...}}.",
        "samples": "How many rows of each step the story shows.",
        "enable_cache": "Reuse files and results that no table keeps; if not said, in every target but prod.",
        "cache_dir": "The folder of the cache; cache in the home of odibi if not given.",
        "cache_max_size": "How large the cache may become; the oldest results go first.",
        "cache_keep_days": "How many days a result stays in the cache.",
        "enable_checkpoints": "Save how far a run has come, so that it can be resumed.",
        "checkpoint_mode": "When: at the end of each LAYER, of every step (AUTO), at an INTERVAL, or when asked (MANUAL).",
        "checkpoint_interval": "Seconds between two checkpoints of mode INTERVAL.",
        "checkpoint_dir": "The folder or URL of the checkpoints; checkpoints if not given.",
        "checkpoint_keep": "Of how many runs checkpoints are kept.",
        "checkpoint_keep_days": "How many days checkpoints are kept.",
        "metrics": "Where metrics go after every run: {file: metrics.json, prometheus: odibi.prom, push: URL}.",
        "metrics_manager": "Another spelling of metrics.",
        "logging": "How every change of a run is logged: {format: human or json, level: INFO, file: run.log}.",
        "ingestion": "A document of sources to fetch, and the connection where they land: {config: file, to: raw}.",
        "validation": "A document of what the datasets must be like: {config: file, to: silver}.",
        "transformation": "A document of what is made of the datasets: {config: file, to: gold}.",
        "hooks": "Who is told of what happens in a run: [{type: slack, url: ${secret:slack}, on: [node_error]}].",
        "event_bus": "Another spelling of hooks.",
        "alerts": "When somebody has to know: a list of rules, or {rules: [...], routes: {critical: [oncall]}}.",
        "steps": "What the pipeline does. The order comes from the inputs, not from the list.",
    },
    "Step": {
        "name": "The name of the step, and of its dataset if outputs does not say otherwise.",
        "layer": "Where the step stands: bronze, silver, gold, or what it does.",
        "read": "Read files or a table: a path, or {from: connection, path: file} and options.",
        "transform": "Operations on the first input, in order.",
        "quality_check": "A gate: rules that the first input must fulfil; it is handed on as it is.",
        "sql": "A query, or a .sql file. The tables in it are the inputs.",
        "function": "A Python function, as package.module:name. Its parameters are the inputs.",
        "command": "A program and its arguments, as a list. It finds its inputs by the environment.",
        "script": "A program and its arguments, as one line that no shell reads.",
        "type": "Canonical form: config_op, sql, function or command.",
        "value": "Canonical form: the path, the SQL, the function, the command, or the target of a store.",
        "operation": "postgres: the SQL is computed by the PostgreSQL that PG_HOST names, in a cluster by one beside the step.",
        "params": "Options of the operation, or the keyword-only parameters of the function.",
        "engine": "Who computes this step, if not the pipeline's engine.",
        "inputs": "The datasets the step takes: a list, or names in the step mapped to datasets.",
        "incremental": "The inputs of which only new rows are read: {orders: {}} or {orders: {watermark: updated_at}}.",
        "outputs": "The datasets the step makes.",
        "depends_on": "Steps that end before this one starts, although it takes nothing from them.",
        "dependsOn": "Another spelling of depends_on.",
        "write": "Where and how the result is kept. Without it, it is handed on and forgotten.",
        "checks": "Rules that the result must fulfil before it is published: [{not_null: [id]}, {unique: [id]}].",
        "validation_rules": "The rule set of this step: standard, strict, or one of rule_sets.",
        "retry": "How this step is tried again: a number of retries, or {max_retries: 5, retry_delay: 10}.",
        "timeout": "Seconds that an attempt at this step may take.",
        "resources": "What this step may have: {memory: 200MB}. It computes in a process of its own.",
        "runtime": "Where this step runs: local, kubernetes, or auto, which goes by how much it reads.",
        "workload_class": "What its pod is like: NetworkIntensive, ComputeIntensive, MemoryIntensive or IOIntensive.",
        "count_rows": "Count the rows in and out of every operation of a transform.",
        "cache": "false: the step runs in every run, whatever result it has.",
        "tests_file": "The file that has the tests; tests: file.yaml says the same.",
        "tests": "Rows in and rows expected, run by odibi test: a list of tests, or the file that has it.",
        "tags": "Words to choose steps by: --select tag:word.",
        "description": "What the step is for; the story shows it.",
        "owner": "Who looks after it.",
    },
    "Rehearsed": {
        "resume": "The day on which a run that was interrupted was last gone on with.",
        "rollback": "The day on which a table was last taken back to an earlier version.",
    },
    "Write": {
        "to": "The connection to write to.",
        "path": "The path below the connection; <layer>/<dataset> if not given.",
        "table": "The table of the connection, if that is a database; the name of the dataset if not given.",
        "mode": "What becomes of the rows that are there: overwrite, append, merge, scd2, replace_where or replace_partitions.",
        "formats": "The formats to write, all of them.",
        "format": "The format to write.",
        "partition_by": "Columns whose values become folders.",
        "partitionBy": "Another spelling of partition_by.",
        "schema": "Which changes of columns are let through: exact, widen, forbid or replace.",
        "logical_date_column": "The column that holds the logical date in appended rows.",
        "keys": "The columns that tell rows apart (merge, scd2).",
        "sequence_by": "The column that orders the changes of a key: an older one never wins (merge, scd2).",
        "delete_when": "A condition on incoming rows that delete the row of their key (merge, scd2).",
        "exclude": "Columns of the incoming rows that the table does not keep (merge, scd2).",
        "where": "The condition on the rows that the incoming ones replace (replace_where).",
        "on_code_change": "What becomes of rows that the step's old code made: rebuild, forward_only or refuse.",
        "optimize": "How the Delta table is looked after: {max_files: 50, vacuum_hours: 168}, or a number of files.",
    },
    "LineageTo": {
        "openlineage": "Where OpenLineage events go: {url: ..., file: ...}.",
    },
    "OpenLineage": {
        "url": "The server that takes the events, such as Marquez.",
        "file": "The file to append the events to, one a line.",
        "namespace": "The namespace of the jobs.",
        "endpoint": "The path below url that takes events.",
        "headers": "Headers that go along with each event.",
        "api_key": "A key that goes along as bearer token: ${secret:name}.",
        "timeout": "Seconds that the server may take; so long the end of a run waits at most.",
    },
    "Optimize": {
        "max_files": "Write small files together when the table has more files than this.",
        "vacuum_hours": "Delete files that no version this young needs; at least 168.",
    },
    "Metrics": {
        "file": "The JSON file for the summary of the run.",
        "prometheus": "The file for the metrics of all pipelines, as Prometheus reads them.",
        "push": "The address of a Pushgateway, such as http://localhost:9091.",
    },
    "Logging": {
        "format": "human: time - LEVEL - message; json: an object per line.",
        "level": "The least that is logged: DEBUG, INFO, WARNING or ERROR.",
        "file": "The file that is appended to; stderr if not given.",
    },
    "StepTest": {
        "name": "What the test shows, in a few words.",
        "description": "Why, where the name does not say it.",
        "date": "The logical date of the run.",
        "now": "The instant at which the clock stands; the beginning of date if not given.",
        "given": "The rows of each input, and of an output what its table holds before: a list, or a file.",
        "types": "Types of columns that nothing else tells: {raw_orders: {price: DECIMAL(18,2)}}.",
        "expect": "The rows the table holds afterwards: of the one output, or {dataset: rows}.",
        "expect_quarantine": "The rows in quarantine afterwards.",
        "expect_error": "What the step says when it fails, as it must.",
        "ordered": "Whether the rows have to come in the order in which they are expected.",
        "partial": "false: columns that no expected row names must be NULL; else they are not compared.",
    },
    "Retry": {
        "max_retries": "How often the step is tried again.",
        "retry_delay": "Seconds before the first retry.",
        "retry_backoff": "Wait twice as long before each further retry; else always as long.",
        "retry_max_delay": "Seconds that a wait never exceeds.",
        "retry_rules": "What failures of this step mean, before the pipeline's rules.",
    },
    "RetryRule": {
        "error": "The name of an error's class or of one it is derived from, bare or dotted.",
        "exit_code": "The exit code of the process that failed; 128 and its number for a signal.",
        "message": "A regular expression that is found in the message, whatever its case.",
        "then": "retry, escalate (fail at once) or skip (leave the step and what needs it out).",
    },
    "RuleSet": {
        "rows": "What a broken rule about rows means, if it does not say so: error, warn or quarantine.",
        "table": "What a broken rule about the table means, if it does not say so: error or warn.",
        "checks": "Checks that every step with this rule set has.",
    },
    "AtLeast": {
        "min_success": "How many sources of a layer must succeed.",
    },
    "Resources": {
        "memory": "What its process may use beside odibi itself, such as 200MB or 2Gi.",
        "requests": "What its pod asks for: {cpu: 500m, memory: 1Gi, ephemeral-storage: 10Gi}.",
        "limits": "What its pod may use at most: {memory: 2Gi}.",
    },
    "Kubernetes": {
        "image": "The image of the pods, with a tag other than latest, or a digest.",
        "spark_image": "The image of the pods of Spark steps, if it is another.",
        "postgres_image": "The image of the PostgreSQL beside steps with operation: postgres.",
        "tasks": "A folder or URL that both sides reach: tasks go there, and what became of them comes back.",
        "namespace": "The namespace of the pods; that of the kubeconfig, or of the pod odibi runs in, if not given.",
        "context": "The context of the kubeconfig; the current one if not given.",
        "cluster_endpoint": "The URL of the API server, if not that of the kubeconfig.",
        "service_account": "The service account of the pods.",
        "pull_policy": "When the image is pulled: Always, IfNotPresent or Never.",
        "volumes": "What is mounted into every pod: [{name: lake, claim: lake, mount: /lake}].",
        "env": "Environment variables of the pods.",
        "secrets": "Environment variables of the pods from Secrets: {TOKEN: {secret: shop, key: token}}.",
        "profile": "seed: place pods on nodes that are labelled for their workload class; none: anywhere.",
        "node_selector": "Labels that the nodes of the pods must have.",
        "node_selectors": "By workload class labels that nodes must have, not those of the profile: {MemoryIntensive: {pool: large}}.",
        "priority": "How urgent the pods are: critical, high, normal or low.",
        "backoff_limit": "How many failed pods of a Job are followed by another; 0 in a run, which tries steps again itself.",
        "ttl_seconds": "How long a finished Job stays.",
        "pending_seconds": "How long a pod may wait for a node, an image or quota before its step fails.",
        "deadline_seconds": "How long a Job may take, if its steps have no timeout.",
        "threshold": "How much a step may read before the runtime auto takes the cluster, such as 500MB.",
        "spark": "The executors of Spark steps: {executors: 2, cores: 1, memory: 1g}.",
    },
    "Mount": {
        "name": "What the volume is called.",
        "mount": "The folder where pods see it.",
        "claim": "The PersistentVolumeClaim that it is.",
        "host_path": "The folder of the node that it is.",
        "secret": "The Secret that it is.",
        "config_map": "The ConfigMap that it is.",
        "empty_dir": "true: a folder of each pod's own, gone with the pod.",
        "read_only": "Whether nothing can be written there.",
    },
    "SecretKey": {
        "secret": "The Secret of the cluster.",
        "key": "The key in it.",
    },
    "SparkPods": {
        "executors": "How many executor pods there are; with max_executors, at least.",
        "max_executors": "How many executor pods there are at most, as many as the work needs.",
        "cores": "The cores of an executor.",
        "memory": "The memory of an executor's JVM, such as 2g.",
        "driver_memory": "The memory of the driver's JVM.",
        "conf": "Further settings of the session: {spark.sql.shuffle.partitions: '64'}.",
    },
    "Hook": {
        "name": "What it goes by in routes and in the record; its type if not given.",
        "type": "How it is told: slack, email, pagerduty, webhook, log or python.",
        "on": "The events it is told of, * for all; pipeline_complete and pipeline_error if not given.",
        "steps": "Only these steps, where an event is about one; * stands for any characters.",
        "layers": "Only steps of these layers, where an event is about one.",
        "severity": "The least urgent events it is told of: Info, Warning or Critical.",
        "targets": "The only targets in which it is there, such as prod.",
        "priority": "Who is told first: critical, high, medium or low.",
        "timeout": "Seconds that a call, or an attempt at a delivery, may take.",
        "retries": "How often a delivery is tried again.",
        "url": "Where it goes: https://..., or smtp://host:port and smtps://host:port for email.",
        "channel": "The channel, where the Slack webhook may choose one.",
        "headers": "Headers of the request.",
        "routing_key": "The integration key of the PagerDuty service.",
        "to": "Who receives the email.",
        "from": "Who sends the email.",
        "username": "The account at the mail server.",
        "password": "Its password; only sent over TLS, or to this machine.",
        "path": "The file that gets a JSON line for each event; stderr if not given.",
        "function": "A function of one parameter, the event: steps.hooks:on_error.",
        "blocking": "Wait for the function before going on; if it raises, the run ends.",
    },
    "Alerts": {
        "rules": "The rules.",
        "routes": "By severity, the hooks that are told: their names, or a type for all of it.",
    },
    "AlertRule": {
        "name": "The name of the rule.",
        "condition": "When it fires: {PipelineStuckFor: {minutes: 60}}.",
        "severity": "How urgent it is: Info, Warning or Critical.",
        "cooldown_minutes": "Minutes in which it does not fire again for the same pipeline.",
        "runbook": "What to do about it; the pipeline's runbook if not given.",
        "last_fired": "When it fired last, for as long as the run store knows nothing of it.",
    },
    "Condition": {
        "Failure": "The newest run has failed.",
        "PipelineStuckFor": "A run goes on for more than so many minutes: {minutes: 60}.",
        "HighFailureRate": "More than this share of runs failed: {threshold: 0.25, window_minutes: 1440}.",
        "ResourceExhaustion": "More than this share is in use: {resource: disk, threshold: 0.9}.",
        "UnusualDuration": "A run takes longer than usual: {multiplier: 2}.",
    },
    "Connection": {
        "url": "A folder or URL.",
        "catalog": "A catalog that Spark knows, such as spark_catalog or main; its tables are told by name.",
        "schema": "The schema of the catalog.",
        "format": "The format of what is there, if nothing else says it.",
        "options": "Options of the file system, such as account_name or key; of http:// headers, of sftp:// username, password, key_filename, passphrase and known_hosts; credentials by reference: ${secret:name}, ${env:NAME}.",
        "description": "What this place is.",
    },
    "Target": {
        "connections": "Connections that replace the pipeline's of the same name.",
        "variables": "Variables that replace the pipeline's of the same name.",
        "secrets": "Providers that replace the pipeline's.",
    },
    "SecretsProvider": {
        "provider": "env, file, azure_key_vault, aws_secrets_manager, gcp_secret_manager or databricks.",
        "prefix": "What stands before a secret's name: of variables (ODIBI_SECRET_ if not given) or in AWS.",
        "folder": "The folder that has a file for each secret.",
        "vault_url": "The vault, such as https://shop.vault.azure.net.",
        "region": "The AWS region; that of the environment if not given.",
        "project": "The Google Cloud project.",
        "scope": "The Databricks secret scope.",
        "endpoint_url": "Another endpoint of the service.",
    },
}


def json_schema(
    operations: Mapping[str, Mapping[str, Any]] | None = None,
    read: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """A draft-07 schema that accepts every config odibi accepts in shape.

    Args:
        operations: the schema of each operation of ``transform``; None lets any name pass.
        read: the schema of each option of ``read``; None lets any name pass.
    """
    schema = Pipeline.model_json_schema(by_alias=True)
    models = schema.pop("$defs")
    models["Pipeline"] = {key: schema.pop(key) for key in list(schema)}
    for name in ("Pipeline", "Target"):
        secrets = models[name]["properties"]["secrets"]
        models[name]["properties"]["secrets"] = {"anyOf": [secrets["items"], secrets]}
    for name in ("Pipeline", "Step", "Write"):
        _add_spellings(models[name], name)
    condition = models["AlertRule"]["properties"]["condition"]
    models["AlertRule"]["properties"]["condition"] = {"anyOf": [condition, {"enum": ["Failure"]}]}
    checks = _checks(models)
    for name in ("Step", "RuleSet"):
        models[name]["properties"]["checks"] = checks
    _short_form(models["Step"], operations, read)
    for name in _HELP:
        for key, words in _HELP[name].items():
            given = models[name]["properties"][key]
            fixed = name == "Pipeline" and key in AS_WRITTEN
            models[name]["properties"][key] = (
                {**given, "description": words} if fixed else _described(given, words)
            )
    models["Pipeline"].pop("required", None)
    models["Pipeline"]["anyOf"] = [{"required": ["steps"]}, {"required": ["ingestion"]}]
    models["Pipeline"]["oneOf"] = [{"required": ["pipeline"]}, {"required": ["name"]}]
    definitions: dict[str, Any] = {}
    root = _draft_07(models.pop("Pipeline"), definitions)
    definitions |= {name: _draft_07(model, definitions) for name, model in models.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "odibi pipeline",
        **{key: value for key, value in root.items() if key != "title"},
        "definitions": definitions,
    }


def _add_spellings(model: dict[str, Any], name: str) -> None:
    """What the expanders and validators of the models accept beside the fields."""
    properties = model["properties"]
    if name == "Pipeline":
        properties |= {
            "name": properties["pipeline"],
            "engine_type": properties["engine"],
            "metrics_manager": properties["metrics"],
        }
        rules = {"type": "array", "items": {"$ref": "#/$defs/AlertRule"}}
        properties["alerts"] = {"anyOf": [rules, {"$ref": "#/$defs/Alerts"}]}
        properties["event_bus"] = properties["hooks"]
    elif name == "Step":
        properties |= {"depends_on": _TEXTS, "dependsOn": _TEXTS, "tags": _TEXTS}
        properties["retry"] = {"anyOf": [{"type": "integer", "minimum": 0}, *properties["retry"]["anyOf"]]}
        listed = {"type": "array", "items": {"anyOf": [_TEXT, _INPUT]}}
        properties["inputs"] = {"anyOf": [_TEXT, listed, {"type": "object", "additionalProperties": _TEXT}]}
        properties["tests"] = {"anyOf": [_TEXT, properties["tests"]]}
        properties["outputs"] = {
            "anyOf": [*_TEXTS["anyOf"], {"type": "object", "additionalProperties": _TEXT}]
        }
    else:
        formats = properties["formats"]
        one_or_more = {"anyOf": [formats["items"], {"type": "array", "items": formats["items"]}]}
        properties |= {
            "formats": one_or_more,
            "format": one_or_more,
            "table": properties["path"],
            "partition_by": _TEXTS,
            "partitionBy": _TEXTS,
            "keys": _TEXTS,
            "exclude": _TEXTS,
            "optimize": {"anyOf": [{"type": "integer", "minimum": 1}, *properties["optimize"]["anyOf"]]},
        }


def _short_form(
    step: dict[str, Any], operations: Mapping[str, Any] | None, read: Mapping[str, Any] | None
) -> None:
    operation: dict[str, Any] = {"type": "object", "minProperties": 1, "maxProperties": 1}
    if operations is not None:
        known = {name: _or_template(schema) for name, schema in operations.items()}
        operation |= {"properties": known, "additionalProperties": False}
    known = {name: _or_template(schema) for name, schema in (read or {}).items()}
    options: dict[str, Any] = {
        "type": "object",
        "properties": {"from": _TEXT, **known, "path": _TEXT, "prefix": _TEXT, "url": _TEXT},
        "anyOf": [{"required": [name]} for name in ("path", *READ_INSTEAD)],
        "additionalProperties": read is None,
    }
    step["properties"] |= {
        "read": {"anyOf": [_TEXT, options]},
        "transform": {"anyOf": [{"type": "array", "items": operation, "minItems": 1}, operation]},
        "sql": _TEXT,
        "function": _TEXT,
        "command": {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1},
        "script": _TEXT,
        "quality_check": step["properties"]["checks"],
    }
    step["required"] = ["name", "layer"]
    step["oneOf"] = [{"required": ["type", "value"]}, *({"required": [verb]} for verb in VERBS)]


def _checks(models: dict[str, Any]) -> dict[str, Any]:
    """A list of checks as people write them; the models of the rules go."""
    common = {name: models["NotNull"]["properties"][name] for name in ("on_fail", "name", "because")}
    rules: dict[str, Any] = {}
    canonical: list[Any] = []
    for rule, model in RULES.items():
        made = models.pop(model.__name__)
        options = {key: value for key, value in made["properties"].items() if key != "rule"}
        forms: list[Any] = [{"type": "object", "properties": options, "additionalProperties": False}]
        if model.main:
            forms += [options[model.model_fields[model.main].alias or model.main], _TEXTS]
        named = {"rule": {"enum": [rule]}, **options}
        canonical.append(
            {"type": "object", "required": ["rule"], "properties": named, "additionalProperties": False}
        )
        rules[rule] = {"description": made["description"].split("\n")[0], "anyOf": forms}
    short = {"type": "object", "properties": {**rules, **common}, "additionalProperties": False}
    return {"type": "array", "items": {"anyOf": [short, *canonical, {"enum": list(RULES)}]}}


def _described(schema: Mapping[str, Any], words: str) -> dict[str, Any]:
    """``schema`` with a description, and with room for a template."""
    out = {key: value for key, value in schema.items() if key not in ("title", "default", "description")}
    defaults = {"default": schema["default"]} if schema.get("default") not in (None, "", [], {}) else {}
    return {"description": words, **defaults, **_or_template(out)}


def _or_template(schema: Mapping[str, Any]) -> dict[str, Any]:
    """``schema``, or a template where it, or a value of its mapping, wants a choice, a pattern or no text at all."""
    choices = [
        {**each, "additionalProperties": _or_template(values)}
        if isinstance(values := each.get("additionalProperties"), dict)
        else each
        for each in schema.get("anyOf", [schema])
    ]
    if any(
        each.keys() & {"enum", "pattern", "$ref"} or each.get("type") in ("integer", "number", "boolean")
        for each in choices
    ):
        rest = {
            key: value for key, value in schema.items() if key in ("title", "default", "description", "$defs")
        }
        return {**rest, "anyOf": [*choices, _TEMPLATE]}
    return {**schema, "anyOf": choices} if "anyOf" in schema else choices[0]


def _draft_07(value: Any, definitions: dict[str, Any]) -> Any:
    """``value`` in the words of draft-07; definitions inside it move to ``definitions``."""
    if isinstance(value, list | tuple):
        return [_draft_07(item, definitions) for item in value]
    if not isinstance(value, Mapping):
        return value
    out = {key: _draft_07(item, definitions) for key, item in value.items() if key != "$defs"}
    for name, item in value.get("$defs", {}).items():
        definitions[name] = _draft_07(item, definitions)
    if isinstance(out.get("$ref"), str):
        out["$ref"] = out["$ref"].replace("#/$defs/", "#/definitions/")
    if isinstance(out.get("prefixItems"), list):
        rest = out.pop("items", None)
        out["items"] = out.pop("prefixItems")
        out |= {"additionalItems": rest} if rest is not None else {}
    if "patternProperties" in out:
        out.setdefault("additionalProperties", False)
    return out
