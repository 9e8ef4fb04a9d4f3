# The relay as an image. BASE can be any image with Python 3.11 or newer as python3, with venv and pip.
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS builder
COPY requirements-runtime.lock /tmp/
# The venv gets no pip: nothing can be installed into what runs. Hashes are demanded of every file, builds are refused.
RUN python3 -m venv --without-pip /opt/relay \
    && python3 -m pip --python /opt/relay/bin/python3 install --no-cache-dir --disable-pip-version-check \
       --only-binary=:all: --require-hashes -r /tmp/requirements-runtime.lock
# The package is put where a wheel would put it, so that no build tool has to be fetched.
COPY relay /tmp/package/relay
COPY templates /tmp/package/relay/templates
COPY docker/relay /opt/relay/bin/relay
RUN cp -r /tmp/package/relay "$(/opt/relay/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/" \
    && chmod 0755 /opt/relay/bin/relay \
    && /opt/relay/bin/python3 -m compileall -q /opt/relay/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="Alertmanager Relay" \
      org.opencontainers.image.description="Brings Prometheus Alertmanager's alerts to the people on call, and their answers back." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 relay \
    && useradd --system --uid 10001 --gid relay --home-dir /data --no-create-home --shell /usr/sbin/nologin relay \
    && install -d -o relay -g relay -m 0750 /data
COPY --from=builder /opt/relay /opt/relay
COPY LICENSE /usr/share/doc/alertmanager-relay/
ENV PATH=/opt/relay/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# All state is here; the rest of the file system may be read-only. A relative config and database are looked for here, too.
WORKDIR /data
VOLUME ["/data"]
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(os.environ.get('RELAY_HEALTH_URL', 'http://127.0.0.1:8080/-/healthy'), timeout=4)"]
ENTRYPOINT ["relay"]
CMD ["serve"]
