# The image of production: the locked packages, our wheel and a user without rights. Nothing that builds or tests is in it.
#
#   docker build --tag identity-service .
#   docker build --tag identity-service --build-arg ARGON2_MARCH=x86-64-v3 .    (where every CPU has AVX2)
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
# For machines of one kind: argon2 built from the locked source for their instructions, half as fast again with AVX2.
# Empty: the published wheel, which runs everywhere.
ARG ARGON2_MARCH=""
COPY requirements/argon2.txt requirements/production.txt requirements/
RUN case "$ARGON2_MARCH" in \
      "") exit 0 ;; \
      x86-64-v2|x86-64-v3|x86-64-v4) ;; \
      *) echo "ARGON2_MARCH is x86-64-v2, x86-64-v3 or x86-64-v4, or empty" >&2; exit 1 ;; \
    esac \
    && apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && /tools/bin/python -m pip install --require-hashes -r requirements/argon2.txt \
    && sed -n '/^argon2-cffi-bindings==/,/^ *#/p' requirements/production.txt > bindings.txt \
    && CFLAGS="-O3 -march=$ARGON2_MARCH" /tools/bin/python -m pip wheel --require-hashes --no-deps \
       --no-build-isolation --no-binary argon2-cffi-bindings --wheel-dir /wheels -r bindings.txt

FROM python:3.13-slim AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/production.txt /tmp/production.txt
RUN python -m venv /opt/identity \
    && /opt/identity/bin/python -m pip install --require-hashes -r /tmp/production.txt
COPY --from=wheel /wheels /wheels
# What was built here takes the place of what was downloaded, and both make the hash that argon2's own tests expect.
RUN /opt/identity/bin/python -m pip install --no-index --no-deps --force-reinstall /wheels/*.whl \
    && /opt/identity/bin/python -c "from argon2.low_level import Type, hash_secret_raw as made; assert made(b'password', b'somesalt', 2, 65536, 1, 32, Type.ID).hex() == '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7'" \
    && /opt/identity/bin/python -m pip uninstall --yes pip

FROM python:3.13-slim
ARG ARGON2_MARCH=""
# The start looks at the CPU before argon2 is loaded: an instruction that is missing would end the process wordlessly.
LABEL argon2-march=$ARGON2_MARCH
RUN groupadd --gid 10001 identity \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin identity
# The base keeps Python's own library uncompiled, and nothing can be written when it runs: every start and every health
# check would compile it anew.
RUN python -m compileall -q -x site-packages --invalidation-mode unchecked-hash \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=packages /opt/identity /opt/identity
# Compiled when it was installed; nothing is written when it runs, so the file system may be read-only.
ENV PATH=/opt/identity/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 IDENTITY_HOST=0.0.0.0 \
    IDENTITY_BOUNCE_HOST=0.0.0.0 ARGON2_MARCH=$ARGON2_MARCH
WORKDIR /
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# For `serve`; a container that runs `worker`, `bounces` or `migrate` is started with --no-healthcheck.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('IDENTITY_PORT', '8080') + '/readyz', timeout=4)"]
ENTRYPOINT ["identity-service"]
CMD ["serve"]
