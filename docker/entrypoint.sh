#!/bin/bash
# Spark starts its executors with the one argument "executor" and tells the rest by variables;
# any other arguments are odibi's. Java becomes process 1, so that it receives the signals.
set -euo pipefail

if [ "${1:-}" != executor ]; then
    exec python -m odibi "$@"
fi

options=()
for ((i = 0; ; i++)); do
    name=SPARK_JAVA_OPT_$i
    [ -v "$name" ] || break
    options+=("${!name}")
done

exec java "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -cp "${SPARK_EXTRA_CLASSPATH:+$SPARK_EXTRA_CLASSPATH:}$SPARK_CONF_DIR:$SPARK_HOME/jars/*" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" \
    --executor-id "$SPARK_EXECUTOR_ID" \
    --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" \
    --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
    --podName "$SPARK_EXECUTOR_POD_NAME"
