"""Where lineage is sent: ``lineage: {openlineage: {url: ..., file: ...}}``."""

from __future__ import annotations

from pydantic import Field, model_validator

from odibi.config.base import Frozen

__all__ = ["LineageTo", "OpenLineage"]


class OpenLineage(Frozen):
    """Events of the OpenLineage standard, sent to a server, appended to a file, or both.

    ``namespace`` is that of the jobs. ``api_key`` goes along as a bearer token, ``headers`` as they are.
    """

    url: str | None = Field(default=None, min_length=1)
    file: str | None = Field(default=None, min_length=1)
    namespace: str = Field(default="odibi", min_length=1)
    endpoint: str = "api/v1/lineage"
    headers: dict[str, str] = {}
    api_key: str | None = None
    timeout: float = Field(default=5.0, gt=0)

    @model_validator(mode="after")
    def _somewhere(self) -> OpenLineage:
        if self.url is None and self.file is None:
            raise ValueError("openlineage needs url or file: where the events go")
        if self.url is not None and not self.url.startswith(("http://", "https://", "${")):
            raise ValueError(f"url: expected http:// or https://, found {self.url!r}")
        if self.url is None and (self.headers or self.api_key):
            raise ValueError("headers and api_key belong to url")
        return self


class LineageTo(Frozen):
    """Who else is told where the datasets of a run come from."""

    openlineage: OpenLineage | None = None
