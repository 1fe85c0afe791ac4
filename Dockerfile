# The service: runtime only, no torch. `docker build -t pixelkin .`, then see docs/service.md.
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src src
RUN python -m venv /opt/pixelkin \
    && /opt/pixelkin/bin/pip install --no-cache-dir --constraint constraints.txt ".[serve,provenance]"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin pixelkin
COPY --from=build /opt/pixelkin /opt/pixelkin
ENV PATH=/opt/pixelkin/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as it; it.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["pixelkin"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
