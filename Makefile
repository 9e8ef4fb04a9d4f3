# `make` alone lists the targets. Nothing is needed but make, bash, Python >= 3.11 and, for `make test`, apt.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo stack incident run test check bench fuzz lint format types architecture unit golden dashboards lock servers

BIN := .venv/bin
# Most tests wait for servers and processes: one worker more than the usual two cores keeps them busy.
WORKERS ?= 3
# Files go out in the order of tests/conftest.py; xdist of itself would begin with those of the most tests, the short ones.
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
SCRIPTS := .ci/run $(filter-out %.py,$(wildcard tools/*))
# The tests start many processes: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Build .venv from requirements.lock (every other target does it when needed)
	@tools/setup

demo: setup ## Play an incident on this machine, no account needed (ARGS="--port 8090")
	@$(BIN)/relay demo $(ARGS)

stack: setup ## Players of the five systems, Prometheus, Alertmanager and the relay (CONFIG=relay.yml, PLAY=samokoder/APIDown, RHYTHM=shipped)
	@tools/servers prometheus-alertmanager prometheus
	@$(BIN)/python -m relay.demo.stack $(if $(CONFIG),--config $(CONFIG)) $(if $(PLAY),--play $(PLAY)) \
		$(if $(filter shipped,$(RHYTHM)),--shipped-rhythm) $(ARGS)

incident: setup ## Let one of the players break (NAME=samokoder/APIDown; END=1 mends it; without a name all are listed)
	@$(BIN)/python -m relay.demo.players incident $(NAME) $(if $(END),--end) $(if $(AT),--at $(AT))

run: setup ## Start the relay with ./relay.yml or the environment (ARGS="--config my.yml")
	@$(BIN)/relay serve $(ARGS)

test: setup ## Everything CI runs: lint, types, architecture, all tests, with the servers they need
	@tools/stage "servers" tools/servers
	@tools/stage "lint" $(MAKE) --no-print-directory lint
	@tools/stage "types" $(MAKE) --no-print-directory types
	@tools/stage "architecture" $(MAKE) --no-print-directory architecture
	@printf '\n== tests\n'
	@$(PYTEST) $(ARGS)

check: setup ## Lint, types and unit tests: under a minute
	@tools/stage "lint" $(MAKE) --no-print-directory lint
	@tools/stage "types" $(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory unit

lint: setup ## Ruff, its formatter, spelling, shell syntax
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff --quiet .; exit 1; }
	@$(BIN)/codespell
	@for script in $(SCRIPTS); do bash -n "$$script"; done

format: setup ## Let ruff mend what it can
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format .

types: setup ## mypy, strict
	@$(BIN)/mypy relay tests grafana $(wildcard bench tools/*.py)

architecture: setup ## Imports run downwards only
	@$(BIN)/lint-imports --no-logo

unit: setup ## Unit tests (ARGS="-k name")
	@$(PYTEST) tests/unit $(ARGS)

fuzz: setup servers ## Property tests with inputs that no run had before (ARGS="-k text")
	@$(BIN)/python -m pytest -q tests/property --hypothesis-profile=search $(ARGS)

golden: setup ## Write the golden files of tests/golden anew; read the diff before committing
	@GOLDEN_UPDATE=1 UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q tests/unit $(or $(ARGS),-k "golden or rendering")

dashboards: setup ## Write Grafana's dashboards anew from grafana/source
	@$(BIN)/python -m grafana.build

bench: setup servers ## Run bench/, print its table, write bench/results.json
	@$(BIN)/python -m bench $(ARGS)

servers: ## Install or unpack the programs that tests drive (Alertmanager, Prometheus, PostgreSQL, Chromium)
	@tools/servers

lock: ## Resolve requirements.lock anew from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --group dev --extra apprise --universal --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-annotate --no-header --upgrade --quiet --output-file requirements.lock
	@uv pip compile pyproject.toml --extra apprise --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-annotate --no-header --quiet --constraint requirements.lock --output-file requirements-runtime.lock
	@! grep -nE '://' requirements.lock requirements-runtime.lock
