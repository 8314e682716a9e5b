# `make` lists the targets: the line that begins with two # above each one. Everything is installed from the lock, with hashes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/development.txt

.PHONY: help run test test-unit faults abuse bench bench-mail bench-timing bench-peers lint format hooks prepare openapi contract fuzzing sbom tables letters pictures docs lock clean
.DEFAULT_GOAL := help

## List the targets.
help:
	@awk '/^## / { said = substr($$0, 4); next } /^#/ { next } \
	  /^[a-z-]+:/ && said { sub(/:.*/, ""); printf "make %-13s %s\n", $$0, said } { said = "" }' $(MAKEFILE_LIST)

$(VENV)/.installed: $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

## Start everything on this machine, with a PostgreSQL and a test mailbox.
run: $(VENV)/.installed
	@exec $(BIN)/identity-service run

## Run every test on all cores; T=path or T=path::test runs one, ARGS= goes to pytest.
# Each process has a PostgreSQL of its own.
test: $(VENV)/.installed
	$(BIN)/python -m pytest $(if $(T),-n 0 '$(T)',-n auto --maxprocesses 4 --dist loadfile) $(ARGS)

## Run the tests that need no database; takes seconds.
test-unit: $(VENV)/.installed
	$(BIN)/python -m pytest -n 0 tests/unit $(ARGS)

## Run every fault case, at full length; some need root or Postfix.
# The chaos run over 5,000 messages instead of 300, 20 minutes of load, a million accounts.
faults: $(VENV)/.installed
	CHAOS_MESSAGES=5000 LOAD_SECONDS=1200 ROWS=1000000 $(BIN)/python -m pytest tests/faults $(ARGS)

## Run generated requests, bytes and secrets against the service, ABUSE_SECONDS for each part.
abuse: $(VENV)/.installed fuzzing
	ABUSE_SECONDS=$${ABUSE_SECONDS:-60} $(BIN)/python -m pytest --timeout=3600 tests/abuse tests/test_matrix.py tests/console/test_reach.py $(ARGS)

## Measure every endpoint beside its limits in the same run; needs wrk.
# With 10,000 to 1,000,000 accounts.
bench: $(VENV)/.installed
	$(BIN)/python -W ignore -m tests.bench.speed

## Measure the outbox beside a bare aiosmtplib loop in the same run.
# Messages a second, how soon, and a claim behind a million rows.
bench-mail: $(VENV)/.installed
	$(BIN)/python -W ignore -m tests.bench.mail

## Measure whether response times tell known from unknown addresses.
# 2,000 interleaved pairs on every endpoint that takes an address.
bench-timing: $(VENV)/.installed
	$(BIN)/python -W ignore -m tests.bench.timing

## Measure beside better-auth; needs wrk, Node with npm and a C compiler.
# Where the CPU has AVX2, argon2 built for it is measured beside the stock wheel.
bench-peers: $(VENV)/.installed tests/bench/peers/node_modules/.installed
	@if grep -qsw avx2 /proc/cpuinfo; then $(MAKE) --no-print-directory .argon2/.installed; fi
	$(BIN)/python -W ignore -m tests.bench.peers.compare

tests/bench/peers/node_modules/.installed: tests/bench/peers/package-lock.json
	npm ci --prefix tests/bench/peers --ignore-scripts --no-audit --no-fund --silent
	touch $@

# The locked source, as the Dockerfile builds it; for this bench alone. A wheel of another build must not come from a cache.
.argon2/.installed: requirements/argon2.txt requirements/production.txt
	rm -rf .argon2
	$(PYTHON) -m venv .argon2
	.argon2/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/argon2.txt
	sed -n '/^argon2-cffi-bindings==/,/^ *#/p' requirements/production.txt > .argon2/bindings.txt
	CFLAGS="-O3 -march=x86-64-v3" .argon2/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir \
	  --require-hashes --no-deps --no-build-isolation --no-binary argon2-cffi-bindings --target .argon2/x86-64-v3 \
	  -r .argon2/bindings.txt
	touch $@

## Check style, types, spelling, dependencies, shell scripts and the SQL of migrations.
# What tests import is declared too, but may be declared for development alone. shellcheck has no wheel for Linux on ARM.
lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos
	$(BIN)/deptry identity_service migrations
	$(BIN)/deptry tests $(wildcard bench) --exclude node_modules --ignore DEP002,DEP004
	if [ -x $(BIN)/shellcheck ]; then $(BIN)/shellcheck .ci/run deploy/*.sh deploy/*/*.sh; fi
	$(BIN)/python -m tests.migration_sql
	$(BIN)/mypy

## Format the code, and repair what ruff can repair.
format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

## Run the checks of .pre-commit-config.yaml before each commit.
hooks: $(VENV)/.installed
	$(BIN)/pre-commit install --hook-type pre-commit --hook-type commit-msg

## Fetch everything that tests use beside Python packages of the lock; with --jobs, at once.
prepare: $(VENV)/.installed contract fuzzing sbom $(if $(shell command -v npm),tests/node/node_modules/.installed)

# Signatures are verified, and tokens fetched, by clients that are not ours.
tests/node/node_modules/.installed: tests/node/package-lock.json
	npm ci --prefix tests/node --ignore-scripts --no-audit --no-fund --silent
	touch $@

## Renew the OpenAPI document.
openapi: $(VENV)/.installed
	$(BIN)/identity-service openapi > openapi/openapi.json
	$(BIN)/python -m tests.export_schema

## Fetch the generator of a typed client, which a test uses.
# In an environment of its own: its packages do not agree with the lock.
contract: .contract/.installed

.contract/.installed: requirements/contract.txt
	$(PYTHON) -m venv .contract
	.contract/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/contract.txt
	touch $@

## Fetch the fuzzer, which tests of parsers use.
# In an environment of its own: it has wheels for few Pythons, and needs nothing of what the tests need.
fuzzing:
	@if $(PYTHON) -c 'import platform as p, sys; sys.exit((p.system(), p.machine()) != ("Linux", "x86_64") or not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	then $(MAKE) --no-print-directory .fuzzing/.installed; \
	else echo "atheris is not available here (CPython 3.11 to 3.13 on Linux and x86-64 alone): the parsers are searched by Hypothesis."; fi

.fuzzing/.installed: requirements/production.txt requirements/fuzzing.txt
	$(PYTHON) -m venv .fuzzing
	.fuzzing/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary atheris \
	  -r requirements/production.txt -r requirements/fuzzing.txt
	touch $@

## Write the bill of materials of the production lock (CycloneDX).
sbom: .sbom/.installed
	.sbom/bin/python -W ignore -m cyclonedx_py requirements --output-reproducible --pyproject pyproject.toml -o sbom.cdx.json requirements/production.txt

.sbom/.installed: requirements/sbom.txt
	$(PYTHON) -m venv .sbom
	.sbom/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sbom.txt
	touch $@

## Renew the README's tables and docs/asvs.md.
tables: $(VENV)/.installed
	$(BIN)/python -m tests.tables

## Take the README's pictures anew; needs Chromium.
pictures: $(VENV)/.installed
	$(BIN)/python -m pytest tests/browser/pictures.py -q

## The documentation as a site in .site; a link or an anchor that leads nowhere ends the build.
docs: .docs/.installed
	NO_MKDOCS_2_WARNING=1 .docs/bin/python -m mkdocs build --strict

.docs/.installed: requirements/docs.txt
	$(PYTHON) -m venv .docs
	.docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	touch $@

## Renew the recorded texts of emails.
letters: $(VENV)/.installed
	$(BIN)/python -m tests.letters

## Renew the locks; needs uv.
# The files hold versions and hashes only.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra legacy-hashes --extra redis --extra telemetry -o requirements/production.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra development --extra embedded --extra legacy-hashes --extra redis --extra telemetry -c requirements/production.txt -o requirements/development.txt
	printf 'cffi\ncmake\nninja\nscikit-build-core>=1.0\nsetuptools-scm>=8\n' | uv pip compile --quiet --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/production.txt -o requirements/argon2.txt -
	printf 'openapi-python-client>=0.29,<1\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header -o requirements/contract.txt -
	printf 'cyclonedx-bom>=7.5,<8\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header -o requirements/sbom.txt -
	printf 'mkdocs-material>=9.8,<10\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header -o requirements/docs.txt -
	printf '%s\n' "atheris>=3.0,<3.1; sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.12'" \
	  "atheris>=3.1,<4; sys_platform == 'linux' and platform_machine == 'x86_64' and python_version >= '3.12' and python_version < '3.14'" \
	  | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  -c requirements/production.txt -o requirements/fuzzing.txt -

## Remove all that was installed or made here, also the data of `make run`.
clean:
	rm -rf $(VENV) .argon2 .contract .docs .fuzzing .sbom .site sbom.cdx.json .ci/node/node_modules tests/node/node_modules tests/bench/peers/node_modules .data .mypy_cache .pytest_cache .ruff_cache .hypothesis
