# The Spark image with the example project, as a project's own image would be.
ARG BASE
FROM ${BASE}
COPY steps /work/steps
COPY configs /work/configs
