"""What a pipeline that is fit for production fulfils: the checklist as data, seven groups of five."""

from __future__ import annotations

from odibi.doctor import data, runs, secrecy, telling
from odibi.doctor.model import Case, Finding, Item, Level, finding

__all__ = ["CHECKLIST", "examined"]

W, F = Level.WARN, Level.FAIL

_CONFIGURATION = "Configuration"
_RELIABILITY = "Reliability"
_OBSERVABILITY = "Observability"
_QUALITY = "Data quality"
_SECURITY = "Security"
_PERFORMANCE = "Performance"
_OPERATIONS = "Operations"

CHECKLIST: tuple[Item, ...] = (
    Item("names", _CONFIGURATION, "Do names say what steps make?", W, runs.names_say_what,
         "name each step after its table"),
    Item("engine-size", _CONFIGURATION, "Does the engine fit the size of what is read?", W, runs.engine_fits_size,
         "engine: auto takes Spark above engine_threshold (10GB), DuckDB below"),
    Item("retries", _CONFIGURATION, "Is what may pass tried again three times?", W, runs.retries_enough,
         "max_retries: 3, which is the default"),
    Item("checkpoint-mode", _CONFIGURATION, "Is a medallion saved layer by layer?", W, runs.checkpoints_by_layer,
         "checkpoint_mode: LAYER, which is the default"),
    Item("secrets-place", _CONFIGURATION, "Does it say where its secrets are kept?", W, runs.secrets_have_a_place,
         "targets: {prod: {secrets: {provider: file, folder: /var/run/secrets/odibi}}}"),

    Item("checkpoints", _RELIABILITY, "Can an interrupted run go on?", F, runs.checkpoints_are_on,
         "enable_checkpoints: true, which is the default"),
    Item("cache", _RELIABILITY, "Is the cache on in development and off in production?", W, runs.cache_follows_target,
         "leave enable_cache out: it is then off in the target prod only"),
    Item("backoff", _RELIABILITY, "Do retries wait longer each time?", W, runs.backoff_grows,
         "retry_backoff: true and retry_delay: 1, which are the defaults"),
    Item("error-hooks", _RELIABILITY, "Is somebody told of an error?", W, telling.errors_have_hooks,
         "hooks: [{type: log, on: [node_error, pipeline_error]}]"),
    Item("resume", _RELIABILITY, "Has resuming been tried?", W, runs.resume_rehearsed,
         "interrupt a run, odibi run CONFIG --resume, and note it: rehearsed: {resume: 2026-01-05}"),

    Item("tracker", _OBSERVABILITY, "Are runs tracked?", F, telling.runs_are_tracked,
         "enable_tracker: true, which is the default"),
    Item("alert-channel", _OBSERVABILITY, "Do messages reach people?", W, telling.people_are_reached,
         "hooks: [{type: slack, url: '${secret:slack}'}], or of type email or pagerduty"),
    Item("metrics", _OBSERVABILITY, "Are metrics exported?", W, telling.metrics_are_exported,
         "metrics: {file: metrics.json, prometheus: odibi.prom}"),
    Item("stories", _OBSERVABILITY, "Do stories show rows?", W, telling.stories_show_rows,
         "samples: 5, which is the default"),
    Item("dashboard", _OBSERVABILITY, "Can a dashboard read the metrics?", W, telling.dashboard_has_metrics,
         "metrics: {prometheus: odibi.prom}, or push: to a Pushgateway; a dashboard for Grafana is shipped"),

    Item("schemas", _QUALITY, "Are the columns of text declared?", W, data.schemas_declared,
         "read: {schema: {id: BIGINT, name: VARCHAR}}, or the check columns"),
    Item("empty", _QUALITY, "Is a source without rows noticed?", W, data.empty_is_noticed,
         "checks: [row_count]"),
    Item("stale", _QUALITY, "Is a source with old data noticed?", W, data.stale_is_noticed,
         "checks: [{freshness: 6h}], or {freshness: {column: updated_at, within: 1d, on_fail: warn}}"),
    Item("drift", _QUALITY, "Is a change of columns noticed?", W, data.drift_is_noticed,
         "write: {schema: exact} or widen, or checks: [schema_change]"),
    Item("tests", _QUALITY, "Do computed tables have tests?", W, data.results_are_tested,
         "odibi test CONFIG --create STEP --write makes one of live rows"),

    Item("no-credentials", _SECURITY, "Is the config free of credentials?", F, secrecy.credentials_are_referred_to,
         "write ${secret:name}, and change the credential: it has been read"),
    Item("get-secret", _SECURITY, "Are credentials asked for as secrets?", W, secrecy.secrets_are_secrets,
         "${secret:name} instead of ${env:NAME}; in functions context.get_secret('name')"),
    Item("vault", _SECURITY, "Are secrets kept in a vault?", W, secrecy.secrets_are_in_a_vault,
         "secrets: {provider: azure_key_vault, vault_url: ...}, another vault, or files that are mounted"),
    Item("masking", _SECURITY, "Are people's data masked?", W, secrecy.people_are_masked,
         "sensitive: [email, '*_name']"),
    Item("identity", _SECURITY, "Are cloud stores opened by identity?", W, secrecy.identity_is_managed,
         "remove the key from options: the identity that the process has in the cloud is then used"),

    Item("columnar", _PERFORMANCE, "Is what is large kept in columns?", W, data.formats_large,
         "write: {format: delta}; other formats beside it: [delta, csv]"),
    Item("partitions", _PERFORMANCE, "Are growing tables partitioned?", W, data.growing_is_partitioned,
         "write: {partition_by: [day]}"),
    Item("parallel", _PERFORMANCE, "Do independent steps run at the same time?", W, data.parallel_where_possible,
         "distributed: true and distributed_max_workers: 2, which are the defaults"),
    Item("delta", _PERFORMANCE, "Are tables replaced at once?", W, data.tables_are_delta,
         "write: {format: delta}"),
    Item("memory", _PERFORMANCE, "Is memory bounded?", W, data.memory_is_bounded,
         "memory_limit: 2GB, or 80%"),

    Item("dependencies", _OPERATIONS, "Is it said what depends on what, and why?", W, runs.dependencies_described,
         "description: and owner: of the pipeline, description: of each step"),
    Item("schedule", _OPERATIONS, "Can a schedule start it?", W, runs.date_moves,
         "date: yesterday, which is the default"),
    Item("failure-alerts", _OPERATIONS, "Is somebody called when runs fail?", F, telling.failures_alert,
         "alerts: [{name: run_failed, condition: Failure, severity: Critical}]"),
    Item("rollback", _OPERATIONS, "Has a rollback been tried?", W, runs.rollback_rehearsed,
         "odibi rollback TABLE --to-version N, and note it: rehearsed: {rollback: 2026-01-05}"),
    Item("runbook", _OPERATIONS, "Is there a runbook?", W, runs.runbook_there,
         "runbook: docs/runbooks/orders.md, or a URL"),
)  # fmt: skip
"""The items by group."""


def examined(case: Case) -> tuple[Finding, ...]:
    """Every answer, in the order of the list."""
    return tuple(finding(item, case) for item in CHECKLIST)
