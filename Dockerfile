# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements-image.lock ./
RUN python -m venv /opt/penstock \
 && /opt/penstock/bin/pip install --no-cache-dir --require-hashes -r requirements-image.lock
COPY . .
RUN /opt/penstock/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/penstock/bin/pip uninstall --yes setuptools pip

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
