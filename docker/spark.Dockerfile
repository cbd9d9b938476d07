# syntax=docker/dockerfile:1
# The worker image with Spark: Java 17, PySpark and all jars it needs, so that no session fetches any.
# It is the image of driver and executors alike.
#
#   docker build --file docker/Dockerfile --target dependencies --tag odibi-dependencies:0.1.0 .
#   docker build --file docker/Dockerfile --tag odibi:0.1.0 .
#   docker build --file docker/spark.Dockerfile --tag odibi-spark:0.1.0 .
ARG BASE=odibi-dependencies:0.1.0
ARG ODIBI=odibi:0.1.0

FROM ${ODIBI} AS odibi

FROM ${BASE} AS java
# hadolint ignore=DL3002
USER 0
# Debian keeps only the newest Java 17, so naming its exact version would break the build with every fix.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/*

FROM java AS jars
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends maven \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /jars
COPY docker/jars.xml pom.xml
RUN mvn --batch-mode --quiet \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory=/jars

FROM java
WORKDIR /src
COPY docker/constraints.txt ./
# These go together: delta-spark 4.4.0 accepts no PySpark above 4.2.0, and 4.4.1 has no jar.
RUN /opt/odibi/bin/pip install --no-cache-dir --constraint constraints.txt pyspark==4.2.0 delta-spark==4.4.0 \
 && ln -s /opt/odibi/lib/python3*/site-packages/pyspark /opt/spark \
 && mkdir /opt/spark/conf
COPY --from=jars --chmod=644 /jars/*.jar /opt/spark/jars/
COPY docker/entrypoint.sh docker/decommission.sh /opt/
COPY --from=odibi /opt/odibi/app /opt/odibi/app

# Hadoop asks for a user name, which a uid that a cluster chose does not have.
ENV SPARK_HOME=/opt/spark \
    SPARK_CONF_DIR=/opt/spark/conf \
    SPARK_LOCAL_DIRS=/var/lib/odibi/spark \
    SPARK_USER=odibi \
    HADOOP_USER_NAME=odibi \
    PYSPARK_PYTHON=/opt/odibi/bin/python
USER 10001:10001
WORKDIR /work
ENTRYPOINT ["/opt/entrypoint.sh"]
