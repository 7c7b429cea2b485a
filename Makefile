# One command for each thing one does here; `make help` lists them.
# Everything Python goes into .venv, from locks with hashes; a stamp in .venv tells when that was done last.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# the first Python on the PATH that is new enough
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$python >/dev/null && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$python && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# hands further arguments to the commands that take some: make test ARGS='-k proxy'
ARGS ?=
SCENARIO ?= steady-day

# tests side by side, more than there are cores, as most of their time they wait; 0 runs them one by one
WORKERS ?= 4

.PHONY: help install install-dev packages run test lint audit bench bench-upgrade bench-web history soak prisma page-random writing-walks load screenshots schema lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/runtime.stamp ## the environment, with what running needs

install-dev: $(VENV)/dev.stamp ## the environment, with what testing needs as well

run: install ## everything on this machine, with a simulated Chatwoot; prints the addresses and a sign-in
	$(BIN)/omni-inbox dev $(ARGS)

test: install-dev packages tests/node/node_modules/.package-lock.json lint ## everything: lint, types, then all tests against the real parts
	@bash tests/run-node-tests.sh
	@WORKERS=$(WORKERS) bash tests/run-tests.sh $(ARGS)

lint: install-dev ## ruff, import layers, types, and nothing that looks like a key
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports
	$(BIN)/mypy
	{ git ls-files -z 2>/dev/null || find server web docs deploy -type f -print0; } | xargs -0 $(BIN)/detect-secrets-hook $(SECRETS)

# known vulnerabilities of what is locked, as PyPI knows them. Apart from lint, as it needs the network: what could not be asked about is a failure
audit: install-dev ## look up known vulnerabilities of every locked package (needs the vulnerability services of PyPI and npm)
	$(BIN)/python -c 'import pip_audit' 2>/dev/null || $(PIP) install --quiet pip-audit
	$(BIN)/pip-audit --strict --disable-pip --requirement requirements.lock
	$(BIN)/pip-audit --strict --disable-pip --requirement requirements-otel.lock
	$(BIN)/pip-audit --strict --disable-pip --requirement requirements-dev.lock
	cd tests/node && npm audit

packages: ## Debian packages the tests need (installed when root, named otherwise)
	@bash tests/install-packages.sh

bench: install-dev packages ## print costs as ratios, all measured in one run
	$(BIN)/python -m tests.tools.bench $(ARGS)

prisma: ## a CRM's Prisma client for its test, 300 MB; no scripts of packages are run, and no engine is fetched
	cd tests/prisma && npm ci --ignore-scripts --no-audit --no-fund
	cd tests/prisma && PRISMA_SCHEMA_ENGINE_BINARY=/bin/true npx prisma generate --schema schema.prisma

bench-upgrade: install-dev ## what an upgrade of a CRM with a million messages costs the CRM beside it
	$(BIN)/python -m tests.tools.bench.upgrade $(ARGS)

bench-web: install-dev packages ## what an agent waits for in the browser, measured in a real one
	$(BIN)/python -m tests.tools.bench_web $(ARGS)

history: install-dev packages ## fetch and compare 75,000 messages in every disorder of time; prints what is missing, requests, time and memory
	$(BIN)/python -m tests.tools.history $(ARGS)

soak: install-dev packages ## traffic under faults of every kind; prints what was lost, doubled or stood still: make soak ARGS='--minutes 30'
	$(BIN)/python -m tests.tools.soak $(ARGS)

page-random: install-dev packages ## ten random minutes in the real page, as agents, customers and faults make them: make page-random ARGS='--seed 7'
	$(BIN)/python -m tests.tools.page_random $(ARGS)

writing-walks: install-dev packages ## a thousand random walks of replies and private notes through the real page: make writing-walks WALKS=50
	OMNI_TEST_WALKS=$(or $(WALKS),1000) $(BIN)/python -m pytest -s tests/web/test_writing_walks.py

load: install-dev packages ## a scenario of tests/load/scenarios on MariaDB and Redis: make load SCENARIO=viral-post ARGS=--short
	$(BIN)/python -m tests.tools.load $(SCENARIO) $(ARGS)

screenshots: install-dev packages ## pictures of the inbox, into artefacts/
	$(BIN)/python -m tests.tools.screenshots $(ARGS)

schema: install ## write schema.sql from the table definitions
	$(BIN)/python -m server.db.schema.render > schema.sql.new
	mv schema.sql.new schema.sql

lock: install-dev ## renew the locks from pyproject.toml and tests/node/package.json; ARGS=--upgrade takes newer versions
	$(BIN)/python -c 'import uv' 2>/dev/null || $(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --group build -o requirements.lock $(LOCK_OPTIONS) $(ARGS)
	$(BIN)/uv pip compile pyproject.toml --extra otel -c requirements.lock -o requirements-otel.lock $(LOCK_OPTIONS) $(ARGS)
	$(BIN)/uv pip compile pyproject.toml --group build --extra dev -c requirements.lock -o requirements-dev.lock $(LOCK_OPTIONS) $(ARGS)
	cd tests/node && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

clean: ## remove what the commands above have made, the embedded database excepted
	rm -rf $(VENV) tests/node/node_modules artefacts build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# shapes of keys, and texts too random to be words. The word "password" beside a text proves nothing in catalogues and tests; locks are hashes by their
# nature, example webhooks and conversations are made up, and an address with the word itself for a password is nobody's. One line: pragma: allowlist secret
SECRETS := --disable-plugin KeywordDetector --exclude-files '(\.lock|package-lock\.json)$$|^tests/(payloads|conformance)/' \
	--exclude-secrets '^(password|pw|user|secret|a-password)$$'

# one lock for all supported Pythons and systems; no addresses in it: each machine asks the index it is set up for
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed: install it, or name it with make PYTHON=/path/to/python3.' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/runtime.stamp: requirements.lock pyproject.toml setup.py | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/runtime.stamp
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

tests/node/node_modules/.package-lock.json: tests/node/package-lock.json | packages
	cd tests/node && npm ci --no-audit --no-fund
	@touch $@
