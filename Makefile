# odibi: `make` alone lists what can be made. Needs Python 3.11 or newer and make, nothing else.

PYTHON ?=# an interpreter of your choice, such as PYTHON=python3.12; otherwise the first that fits
ARGS   ?=# passed on by test, bench and chaos, such as ARGS="-k delta" or ARGS="--sf 1"
PYTHON_IMAGE ?=# the image that the images stand on, where it is not the public one of docker/Dockerfile

VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python
PIP    := $(PY) -m pip --quiet --disable-pip-version-check
DAYS   := 2026-01-01 2026-01-02 2026-01-03 2026-01-04 2026-01-05

VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' odibi/__init__.py)
CLUSTER := $(PY) tests/cluster/cluster.py
# The first that answers: a docker without its daemon builds nothing.
BUILDER  = $(shell for b in docker podman buildah; do $$b info >/dev/null 2>&1 && echo $$b && break; done)

# Stamps say which extras .venv holds, so that a second call installs nothing.
BASE   := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
BENCH  := $(VENV)/.installed-bench

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run demo test check lint format bench chaos docs wheel images cluster test-cluster bench-cluster cluster-down clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

run: $(BASE)  ## Install odibi into .venv and run configs/daily.yaml
	@$(PY) -m odibi run configs/daily.yaml

demo: $(BASE)  ## Run the example shop for its five days, one after the other
	@for day in $(DAYS); do $(PY) -m odibi run configs/daily.yaml --date $$day || exit $$?; done
	@$(PY) -m odibi status configs/daily.yaml
	@echo "Read the story of the last day: $$(find .odibi -name '*.html' -exec ls -t {} + | head -n 1)"

test: $(DEV)  ## Run the tests (ARGS="-k delta" for some of them)
	@$(PY) -m pytest $(ARGS)

check: lint test  ## Everything CI asks for: lint, then test

lint: $(DEV)  ## Check format, style, types, import order and docker files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint docker/*Dockerfile

format: $(DEV)  ## Format the code and repair what ruff can repair
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(BENCH)  ## Compare odibi with hand-written scripts (ARGS="--sf 1 --only medallion")
	@$(PY) tests/benchmarks/bench.py $(ARGS)

chaos: $(DEV)  ## Kill runs 900 times on three engines, and see that nothing is lost (hours; ARGS="--seed 2")
	@$(PY) -m odibi chaos configs/chaos.yaml --points 500 --random 200 $(ARGS)
	@$(PY) -m odibi chaos configs/chaos.yaml --points 100 --engine pandas $(ARGS)
	@$(PY) -m odibi chaos configs/chaos.yaml --points 100 --engine spark $(ARGS)

docs: $(DEV)  ## Build the docs into build/docs/site, and check that their examples run and their links lead somewhere
	@$(PY) -m odibi.cli.reference build/docs
	@cd build/docs && $(CURDIR)/$(BIN)/zensical build --strict --config-file zensical.toml
	@$(PY) -m pytest tests/docs

wheel: $(BASE)  ## Build the wheel into dist/
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/*.whl

images:  ## Build the worker's and Spark's images with docker, podman or buildah (PYTHON_IMAGE=... for another base)
	@builder="$(BUILDER)"; [ -n "$$builder" ] || { echo "no docker, podman or buildah answers" >&2; exit 1; }; \
	export BUILDAH_LAYERS=true; set -ex; \
	$$builder build $(PYTHON_IMAGE:%=--build-arg BASE=%) --file docker/Dockerfile --target dependencies \
	    --tag odibi-dependencies:$(VERSION) .; \
	$$builder build $(PYTHON_IMAGE:%=--build-arg BASE=%) --file docker/Dockerfile --tag odibi:$(VERSION) .; \
	$$builder build --file docker/spark.Dockerfile --tag odibi-spark:$(VERSION) .

cluster: | $(PY)  ## Build and start a Kubernetes on this machine (root, Linux, Go), unless KUBECONFIG names one
	@$(CLUSTER) up

test-cluster: $(DEV)  ## Run the tests that need a cluster, on the one of `make cluster` or of KUBECONFIG
	@config="$${KUBECONFIG:-$$($(CLUSTER) kubeconfig)}"; [ -n "$$config" ] || exit 1; \
	KUBECONFIG="$$config" $(PY) -m pytest tests/cluster $(ARGS)

bench-cluster: $(DEV)  ## Compare a step in the cluster with the same Job submitted by hand (ARGS="--rounds 9")
	@config="$${KUBECONFIG:-$$($(CLUSTER) kubeconfig)}"; [ -n "$$config" ] || exit 1; \
	KUBECONFIG="$$config" $(PY) -m tests.cluster.bench $(ARGS)

cluster-down: | $(PY)  ## Stop the cluster of `make cluster`
	@$(CLUSTER) down

clean:  ## Remove caches and built files (keeps .venv and .odibi)
	@rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	@find odibi tests steps configs -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	    $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    echo "creating $(VENV) with $$($$python --version)"; \
	    exec $$python -m venv $(VENV); \
	done; \
	echo "no Python 3.11 or newer with venv found; install one (Debian: apt-get install python3-venv)" \
	     "or name it: make PYTHON=/path/to/python" >&2; \
	exit 1

$(BASE): pyproject.toml | $(PY)
	@echo "installing odibi into $(VENV) (once; 500 MB)"
	@$(PIP) install --editable .
	@touch $@

$(DEV): pyproject.toml | $(PY)
	@echo "installing odibi and its development tools into $(VENV) (once)"
	@$(PIP) install --editable '.[dev]'
	@touch $(BASE) $@

$(BENCH): pyproject.toml | $(PY)
	@echo "installing odibi and the benchmark's data generator into $(VENV) (once)"
	@$(PIP) install --editable '.[bench]'
	@touch $(BASE) $@
