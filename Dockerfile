# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
# 1: the modules that every event passes are compiled (docs/operations.md)
ARG PENSTOCK_COMPILED=0
RUN if [ "$PENSTOCK_COMPILED" = 1 ]; then \
      apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev; \
    fi
WORKDIR /src
COPY requirements-image.lock requirements-build.lock ./
RUN python -m venv /opt/penstock \
 && /opt/penstock/bin/pip install --require-hashes -r requirements-image.lock \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r requirements-image.lock -r requirements-build.lock
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheels . \
 && /opt/penstock/bin/pip install --no-deps /opt/wheels/*.whl \
 && /opt/penstock/bin/pip uninstall --yes pip

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/penstock penstock
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/penstock
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/livez', timeout=2)"]
ENTRYPOINT ["penstock"]
CMD ["run", "/etc/penstock/pipeline.yaml", "--listen", ":9464"]
