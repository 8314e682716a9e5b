# The image of production: the locked packages, our wheel and a user without rights. Nothing that builds or tests is in it.
#
#   docker build --tag identity-service .
#   docker run --read-only --cap-drop ALL --env-file production.env identity-service [serve | worker | bounces | migrate]

FROM python:3.13-slim AS wheel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
# What makes the wheel is locked with hashes too, and stays in this stage.
COPY requirements/development.txt requirements/
RUN python -m venv /tools \
    && /tools/bin/python -m pip install --require-hashes -r requirements/development.txt
COPY pyproject.toml README.md LICENSE ./
COPY identity_service identity_service
COPY migrations migrations
RUN /tools/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.13-slim AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# A -march value for building argon2 on machines of one kind; empty: the published wheel. Passwords will use it.
ARG ARGON2_MARCH=""
COPY requirements/production.txt /tmp/production.txt
RUN python -m venv /opt/identity \
    && /opt/identity/bin/python -m pip install --require-hashes -r /tmp/production.txt
COPY --from=wheel /wheels /wheels
RUN /opt/identity/bin/python -m pip install --no-index --no-deps /wheels/*.whl \
    && /opt/identity/bin/python -m pip uninstall --yes pip

FROM python:3.13-slim
RUN groupadd --gid 10001 identity \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin identity
COPY --from=packages /opt/identity /opt/identity
# Compiled when it was installed; nothing is written when it runs, so the file system may be read-only.
ENV PATH=/opt/identity/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 IDENTITY_HOST=0.0.0.0
WORKDIR /
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# For `serve`; a container that runs `worker`, `bounces` or `migrate` is started with --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('IDENTITY_PORT', '8080') + '/readyz', timeout=4)"]
ENTRYPOINT ["identity-service"]
CMD ["serve"]
