# syntax=docker/dockerfile:1
# The worker image with Spark: Java 17, PySpark and the two Delta jars, so that no session fetches any.
#
#   docker build --file docker/Dockerfile --tag odibi:0.1.0 .
#   docker build --file docker/spark.Dockerfile --tag odibi-spark:0.1.0 .
ARG BASE=odibi:0.1.0
FROM ${BASE}

USER 0
# Debian keeps only the newest Java 17, so naming its exact version would break the build with every fix.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/*

# These go together: delta-spark 4.4.0 accepts no PySpark above 4.2.0, and 4.4.1 has no jar.
RUN /opt/odibi/bin/pip install --no-cache-dir pyspark==4.2.0 delta-spark==4.4.0

# The jars io.delta:delta-spark_4.2_2.13:4.4.0 and io.delta:delta-storage:4.4.0.
ARG MAVEN_REPO=repo1.maven.org/maven2
ADD --chmod=644 --checksum=sha256:27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead \
    https://${MAVEN_REPO}/io/delta/delta-spark_4.2_2.13/4.4.0/delta-spark_4.2_2.13-4.4.0.jar /opt/spark/jars/
ADD --chmod=644 --checksum=sha256:c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc \
    https://${MAVEN_REPO}/io/delta/delta-storage/4.4.0/delta-storage-4.4.0.jar /opt/spark/jars/
COPY --chmod=644 docker/spark-defaults.conf /opt/spark/conf/

ENV SPARK_CONF_DIR=/opt/spark/conf \
    SPARK_LOCAL_DIRS=/var/lib/odibi/spark \
    PYSPARK_PYTHON=/opt/odibi/bin/python
USER 10001:10001
