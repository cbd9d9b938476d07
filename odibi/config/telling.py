"""What a config says about who is told of its runs: where metrics and logs go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from odibi.config.base import Frozen

__all__ = ["LogFormat", "LogLevel", "Logging", "Metrics"]

LogFormat = Literal["human", "json"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def _local(file: str) -> str:
    if "://" in file:
        raise ValueError(f"found {file!r}, expected a file of this machine")
    return file


_File = Annotated[str, Field(min_length=1), AfterValidator(_local)]


class Metrics(Frozen):
    """Where metrics go after every run, also one that failed.

    ``file`` is written with the summary of the run as JSON, ``prometheus`` with the metrics of all pipelines
    as exposition text, which the textfile collector of node_exporter reads if its name ends in ``.prom``.
    Those of this pipeline are sent to the Pushgateway at ``push``, an address such as
    ``http://localhost:9091``.
    """

    file: _File | None = None
    prometheus: _File | None = None
    push: str | None = None

    @field_validator("push")
    @classmethod
    def _is_a_gateway(cls, push: str | None) -> str | None:
        if push is not None and not push.startswith(("http://", "https://", "${")):
            raise ValueError(
                f"push: found {push!r}, expected the address of a gateway: http://localhost:9091"
            )
        return push

    @model_validator(mode="after")
    def _go_somewhere(self) -> Metrics:
        if self.file is None and self.prometheus is None and self.push is None:
            raise ValueError("metrics needs file, prometheus or push")
        return self


class Logging(Frozen):
    """How every change of a run and its steps is logged: to ``file``, or to stderr."""

    format: LogFormat = "human"
    level: LogLevel = "INFO"
    file: _File | None = None
