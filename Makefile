# Everything a person does with this repository starts here; `make` alone explains.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: help setup check test docs run demo bench down lock clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
SITE := docs/_build
COMPILE := --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' --quiet

help:  ## explain the targets
	@echo 'Linkcast: fan-out and notifications for very large groups.'
	@echo
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' Makefile
	@echo
	@echo 'First time: make demo. Needs Python 3.11, and JDK 17 with Maven or Docker; Debian 12: apt-get install openjdk-17-jdk-headless maven'

setup: $(STAMP)  ## make .venv and install what requirements.lock names (about a minute, once)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make setup PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -m jobs.needs
	@if command -v uv >/dev/null; then \
	  echo '==> .venv: made and filled by uv'; \
	  test -x $(BIN)/python || uv venv --quiet --python '$(PYTHON)' .venv; \
	  uv pip install --python $(BIN)/python --require-hashes -r requirements.lock; \
	  uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else \
	  test -x $(BIN)/pip || { echo '==> .venv: make it'; $(PYTHON) -m venv .venv; }; \
	  echo "==> .venv: $$(grep -c '^[a-z].*==' requirements.lock) packages (about a minute)"; \
	  $(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements.lock | sed -unE 's/^Collecting /    /p'; \
	  $(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

check: setup  ## style, types, import contracts, containers, docs
	@echo '==> ruff';           $(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@echo '==> mypy';           $(BIN)/mypy
	@echo '==> import-linter';  $(BIN)/lint-imports
	@echo '==> docker-compose'; $(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose*.yml
	@echo '==> Dockerfile';     $(BIN)/hadolint Dockerfile
	@echo '==> docs';           $(BIN)/linkcast contract --check && $(BIN)/linkcast reference --check
	@$(BIN)/pytest --quiet --no-header tests/unit/test_links.py
	@$(MAKE) --silent docs

test: setup  ## all tests, by two runners; those that need services start their own
	@$(BIN)/pytest --numprocesses 2 --durations 20 --durations-min 5

docs: setup  ## build the docs site
	@$(BIN)/sphinx-build --quiet --fail-on-warning --nitpicky docs $(SITE)
	@echo 'docs: $(SITE)/index.html'

run: setup  ## start the services and one worker of each role
	@$(BIN)/linkcast run

demo: setup  ## start everything and show a large group at work
	@$(BIN)/linkcast demo

bench: setup  ## measure everything beside its baselines, or ONLY=<figure> (about 25 minutes)
	@$(BIN)/linkcast bench $(if $(ONLY),--only $(ONLY))

down: setup  ## stop whatever still runs: gateways, workers, services; data stays
	@$(BIN)/linkcast down

lock: setup  ## resolve the dependencies anew (needs uv)
	@uv pip compile pyproject.toml --group dev $(COMPILE) --output-file requirements.lock
	@uv pip compile jobs/bench/baselines/quix.in $(COMPILE) --output-file jobs/bench/baselines/quix.lock
	@uv pip compile pyproject.toml --group build $(COMPILE) --constraints requirements.lock --output-file requirements.image.lock

clean: down  ## stop the services and forget their data and the environment
	@$(BIN)/linkcast services forget
	@rm -rf .linkcast .venv
