# `make demo` and `make test` do all the set-up they need; both can be interrupted and run again.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CARTRITA := $(BIN)/cartrita
OF_RULES := tests/processors tests/schemas tests/projections tests/streams tests/topics
# Most tests wait for servers, so two at once take little more than half the time, on two cores too.
SIDE_BY_SIDE := --numprocesses 2 --dist worksteal
# Locks that hold on every platform and name no host.
COMPILE := --universal --python-version 3.11 --generate-hashes --no-emit-find-links --no-emit-index-url --no-header

.PHONY: help setup demo test test-unit coverage test-stack test-all test-clients test-duckdb open-responses simulate chaos overspend bench litellm check check-console format lock clean

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed  ## Create .venv with the locked dependencies

# The stamp is written last, so an interrupted set-up is simply run again.
$(VENV)/.installed: requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Cartrita needs Python 3.11 or newer; this is $$($(PYTHON) --version). Set PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## Show the main job on real input; sets everything up
	$(CARTRITA) demo

test: setup  ## All tests but the slow ones; sets everything up
	$(BIN)/pytest -m "not slow" $(SIDE_BY_SIDE)

test-unit: setup  ## The tests that need no service: minutes
	$(BIN)/pytest -q -m "not stack and not browser and not slow"

coverage: setup  ## The tests of rules and schemas, with the floor that their branch coverage has
	$(BIN)/coverage run -m pytest -q -m "not stack and not browser and not slow" $(OF_RULES)
	$(BIN)/coverage report

test-stack: setup  ## The tests on the real Kafka, registry and Postgres
	$(BIN)/pytest -m "(stack or browser) and not slow" $(SIDE_BY_SIDE)

test-all: setup  ## Everything, the slow tests too
	-$(MAKE) $(VENV)-clients/.installed $(VENV)-aider/.installed $(VENV)-duckdb/.installed
	$(BIN)/pytest $(SIDE_BY_SIDE)

simulate: setup  ## A million simulated steps with faults; SEED=… runs and traces one
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--steps 1000000)

# The peers' packages are in an environment of their own: nothing of the project depends on them.
$(VENV)-bench/.installed: $(VENV)/.installed requirements/bench.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(BIN)/uv pip sync --python $(VENV)-bench/bin/python --require-hashes requirements/bench.txt
	@touch $@

bench: $(VENV)-bench/.installed  ## Measure against others, and write docs/benchmarks.md; NAMES=… RUNS=… choose
	$(BIN)/python -m tests.benchmarks $(NAMES) $(if $(RUNS),--runs $(RUNS))

# Other people's clients, each version pinned, in environments of their own; aider pins what the others do not bear.
$(VENV)-clients/.installed: $(VENV)/.installed requirements/clients.txt requirements/clients/package-lock.json
	$(PYTHON) -m venv $(VENV)-clients
	$(BIN)/uv pip sync --python $(VENV)-clients/bin/python --require-hashes requirements/clients.txt
	cp requirements/clients/package.json requirements/clients/package-lock.json $(VENV)-clients/
	cd $(VENV)-clients && PATH="$$PWD/bin:$$PATH" npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

$(VENV)-aider/.installed: $(VENV)/.installed requirements/aider.txt
	$(PYTHON) -m venv $(VENV)-aider
	$(BIN)/uv pip sync --python $(VENV)-aider/bin/python --require-hashes requirements/aider.txt
	@touch $@

# DuckDB with its extension for Postgres, which is signed by DuckDB and for this one version.
$(VENV)-duckdb/.installed: $(VENV)/.installed requirements/duckdb.txt
	$(PYTHON) -m venv $(VENV)-duckdb
	$(BIN)/uv pip sync --python $(VENV)-duckdb/bin/python --require-hashes requirements/duckdb.txt
	@touch $@

# A proxy of others, to measure the front door beside; `make bench` leaves it out where this was not made.
$(VENV)-litellm/.installed: $(VENV)/.installed requirements/litellm.txt
	$(PYTHON) -m venv $(VENV)-litellm
	$(BIN)/uv pip sync --python $(VENV)-litellm/bin/python --require-hashes requirements/litellm.txt
	@touch $@

litellm: $(VENV)-litellm/.installed  ## LiteLLM's proxy, beside which `make bench NAMES=gateway` then measures

test-clients: $(VENV)-clients/.installed $(VENV)-aider/.installed  ## Other people's clients against the front door
	$(BIN)/pytest -q tests/pipeline/test_clients.py

test-duckdb: $(VENV)-duckdb/.installed  ## The ready questions, asked through DuckDB
	$(BIN)/pytest -q tests/sinks/test_questions_duckdb.py

open-responses: $(VENV)-clients/.installed  ## Open Responses' tests of compliance; SUITE=… is a copy of its repository
	$(BIN)/pytest -q -rs tests/pipeline/test_open_responses.py --open-responses $(abspath $(SUITE))

chaos: setup  ## Faults on real processes for most of an hour, and a report; FAULTS=… SEED=…
	$(BIN)/pytest -q -m slow tests/chaos/test_mutants.py
	$(BIN)/python -m tests.chaos --faults $(or $(FAULTS),300) $(if $(SEED),--seed $(SEED))

overspend: setup  ## 100 sessions of 50 calls at once against budgets too small for them, and killed workers
	$(BIN)/python -m tests.chaos.overspending --write

check: setup  ## Format, lint, types and architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/architecture tests/console/test_sources.py
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory check-console; else echo "THE CONSOLE'S TYPES ARE NOT CHECKED: there is no npm" >&2; fi

$(VENV)-console/.installed: requirements/console/package-lock.json
	mkdir -p $(VENV)-console
	cp requirements/console/package.json requirements/console/package-lock.json $(VENV)-console/
	cd $(VENV)-console && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

check-console: $(VENV)-console/.installed  ## The types of the console's modules, by TypeScript; needs npm
	$(PYTHON) ops/console/check_types.py $(VENV)-console/node_modules/.bin/tsc

format: setup  ## Format the code and fix what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: setup  ## Resolve the dependencies anew and pin them with hashes
	$(BIN)/uv pip compile --upgrade $(COMPILE) --all-extras pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile $(COMPILE) --all-extras --group dev -c requirements/runtime.txt pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --upgrade $(COMPILE) requirements/bench.in -o requirements/bench.txt
	$(BIN)/uv pip compile --upgrade $(COMPILE) requirements/clients.in -o requirements/clients.txt
	$(BIN)/uv pip compile --upgrade $(COMPILE) requirements/aider.in -o requirements/aider.txt
	$(BIN)/uv pip compile --upgrade $(COMPILE) requirements/litellm.in -o requirements/litellm.txt
	$(BIN)/uv pip compile --upgrade $(COMPILE) requirements/duckdb.in -o requirements/duckdb.txt
	printf 'uv\n' | $(BIN)/uv pip compile --upgrade $(COMPILE) - -o requirements/uv.txt

clean:  ## Remove the environment and all local data
	rm -rf $(VENV) $(VENV)-bench $(VENV)-console $(VENV)-clients $(VENV)-aider $(VENV)-litellm $(VENV)-duckdb .cartrita
