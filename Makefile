# Everything runs in .venv, which scripts/setup makes and keeps up to date.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test test-core nightly lint types contracts bench doctor clean env-bench env-demo env-dev env-torch

BIN := .venv/bin
export OMP_WAIT_POLICY := passive

# One thread in each of two workers: independent tests use the cores better than OpenMP does.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

help: ## Show these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

setup: env-demo ## Make .venv with what the demo needs

demo: env-demo ## Denoise a CT slice under encryption
	$(BIN)/python examples/ct_denoise/demo.py

test: env-torch lint types contracts ## Lint, types, import contracts and tests (installs torch)
	$(PYTEST)

test-core: env-dev lint types contracts ## The same without torch
	$(PYTEST)

nightly: env-torch lint types contracts ## All tests, the slow ones too, with many more random examples
	$(PYTEST) -m "not large" --hypothesis-profile=nightly
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m large --hypothesis-profile=nightly

lint: env-dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env-dev ## Check types
	$(BIN)/mypy

contracts: env-dev ## Check who may import whom
	$(BIN)/lint-imports

bench: env-bench ## Measure every figure of the README
	set -e; for bench in benchmarks/*.py; do $(BIN)/python "$$bench"; done

doctor: env-demo ## Check this machine, and say how to mend each fault
	$(BIN)/enclair doctor

clean: ## Remove what was built or cached; .venv stays
	rm -rf build dist out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

env-demo:
	@scripts/setup demo

env-dev:
	@scripts/setup dev

env-bench:
	@scripts/setup bench torch

env-torch:
	@scripts/setup dev torch
