# `make` lists the targets. Linux, Python 3.11 or 3.12.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup train test test-slow lint format clean

# What follows `dreamerax train`, e.g. ARGS="dreamer-v3 --task dmc/walker_walk".
ARGS ?=
# Test processes. Each compiles for itself and takes about a gigabyte.
WORKERS ?= 2
# Names the Python to use and the optional dependencies to install: see scripts/setup.sh.
export PYTHON EXTRAS

BIN := .venv/bin
# Otherwise pyright asks the network whether there is a newer pyright.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install Python packages into .venv, and a renderer if the machine has none
	@scripts/setup.sh

train: setup ## train: cartpole_balance from pixels, or ARGS="PRESET --option value"
	@$(BIN)/dreamerax train $(ARGS)

test: lint ## lint, types and the tests, but for the slow ones
	@$(BIN)/pytest -m "not slow" -n $(WORKERS) --dist worksteal

test-slow: setup ## the slow tests only
	@$(BIN)/pytest -m slow

lint: setup ## ruff and pyright
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

format: setup ## mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove .venv and all caches; runs/ and sweeps/ stay
	rm -rf .venv .cache build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
