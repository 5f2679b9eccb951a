# One image for every role of Linkcast and for the example gateway:
#   docker build --tag linkcast .
#   docker run linkcast worker --role groups
#   docker run --entrypoint python linkcast -m examples.gateway --help
# Every package is one of requirements.image.lock, by its hash.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/linkcast
ENV PATH=/opt/linkcast/bin:$PATH
WORKDIR /src
COPY requirements.image.lock ./
RUN pip install --require-hashes --only-binary :all: --requirement requirements.image.lock
COPY . .
RUN pip install --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/linkcast --create-home linkcast
COPY --from=build /opt/linkcast /opt/linkcast
ENV PATH=/opt/linkcast/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LINKCAST_DATA=/var/lib/linkcast
USER 10001
WORKDIR /var/lib/linkcast
# Local state: a copy of what stands in Kafka, so that a restart is quick. The views' secret, unless it is given.
VOLUME /var/lib/linkcast
# A worker is healthy when it serves every partition that it owns. A gateway, on another port, needs a check of its own.
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=6 CMD ["python", "-c", "\
from os import environ as env; from urllib.request import urlopen as ask; \
ask(f\"http://{env.get('LINKCAST_HOST', '127.0.0.1')}:{env.get('LINKCAST_VIEW_PORT', '18080')}/ready\", timeout=3)"]
ENTRYPOINT ["linkcast"]
CMD ["--help"]
