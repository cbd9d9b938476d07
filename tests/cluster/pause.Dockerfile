# What holds the namespaces of a pod.
ARG BASE
FROM ${BASE}
USER 65535:65535
ENTRYPOINT ["sleep", "infinity"]
