# Every target sets up what it needs by itself: a virtual environment in .venv with the
# versions pinned in requirements.lock, made again only when those pins change.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
JOBS ?= 2
PYTEST_ARGS ?=
BENCH_ARGS ?=
DEMO_ARGS ?=

# The first interpreter that is new enough; `make PYTHON=/path/to/python` overrides it.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$p"; break; }; done)

BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/ready
PEERS := $(VENV)/peers
NOTEBOOKS := $(VENV)/notebooks
PIP := $(PY) -m pip --disable-pip-version-check --no-input

export PYTHONUNBUFFERED := 1

.PHONY: help setup demo test test-all notebooks doctest readme bench lint format lock clean

help:
	@echo "make demo       make a network that reads digits smaller and faster, in one table"
	@echo "make test       the tests, with a fixed choice of examples"
	@echo "make test-all   the full product of ops, types and targets, and long fuzzing"
	@echo "make notebooks  run the notebooks from beginning to end"
	@echo "make doctest    the examples in the docstrings"
	@echo "make readme     the examples in README.md"
	@echo "make lint       format check, ruff, mypy --strict, import layers"
	@echo "make format     format the code and apply safe fixes"
	@echo "make bench      rxcore beside JAX, torch and NumPy (installs them)"
	@echo "make lock       pin the newest versions of all dependencies"
	@echo "make clean      remove the environment and all caches of the tools"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { \
	  echo "rxcore needs Python 3.11 or newer; found: $$(python3 --version 2>&1)."; \
	  echo "Install one, then run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; \
	  exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) (once, a minute or so) ..."
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@{ $(PIP) install --quiet -r requirements.lock \
	   && $(PIP) install --quiet --no-deps --no-build-isolation -e . ; } \
	  > $(VENV)/setup.log 2>&1 || { cat $(VENV)/setup.log; exit 1; }
	@touch $@

$(PEERS): $(READY)
	@echo "Installing the peers, JAX and torch (once, large downloads) ..."
	@$(PIP) install --quiet --no-build-isolation -c requirements.lock -e '.[peers]' \
	  > $(VENV)/peers.log 2>&1 || { cat $(VENV)/peers.log; exit 1; }
	@touch $@

$(NOTEBOOKS): $(READY)
	@echo "Installing what runs notebooks (once) ..."
	@$(PIP) install --quiet --no-build-isolation -c requirements.lock -e '.[notebooks]' \
	  > $(VENV)/notebooks.log 2>&1 || { cat $(VENV)/notebooks.log; exit 1; }
	@touch $@

demo: $(READY)
	@$(PY) -m rxcore demo --goal 0.96 $(DEMO_ARGS)

test: $(READY)
	@$(PY) -m pytest -q -n $(JOBS) --hypothesis-profile=ci $(PYTEST_ARGS)

test-all: $(READY)
	@RXCORE_TEST_ALL=1 $(PY) -m pytest -q -n $(JOBS) --hypothesis-profile=long \
	  $(PYTEST_ARGS)

doctest: $(READY)
	@$(PY) -m pytest -q --doctest-modules --continue-on-collection-errors \
	  rxcore rxcore_kernels

readme: $(READY)
	@$(PY) -m pytest -q tests/project/test_readme.py

notebooks: $(NOTEBOOKS)
	@for n in notebooks/*.ipynb; do echo "$$n"; \
	  $(PY) -m jupyter execute --NbClientApp.log_level=ERROR $$n || exit 1; done

bench: $(PEERS)
	@$(PY) -m benchmarks core $(BENCH_ARGS)

lint: $(READY)
	@$(PY) -m ruff format --quiet --check . || { \
	  echo "Not formatted: run make format."; exit 1; }
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy
	@$(BIN)/lint-imports --no-logo

format: $(READY)
	@$(PY) -m ruff check --quiet --fix . ; $(PY) -m ruff format .

lock: $(READY)
	@$(PIP) install --quiet uv
	@{ sed -n '/^#/p' requirements.lock; \
	   printf '%s\n' setuptools | $(BIN)/uv pip compile --quiet --universal \
	     --fork-strategy fewest --python-version 3.11 --no-header --no-annotate \
	     --upgrade --extra demo --extra test pyproject.toml - ; } > $(VENV)/lock
	@cp $(VENV)/lock requirements.lock

clean:
	@rm -rf $(VENV) build dist *.egg-info .hypothesis .pytest_cache .ruff_cache \
	  .mypy_cache .import_linter_cache
	@find rxcore rxcore_kernels benchmarks notebooks tests -name __pycache__ \
	  -type d -prune -exec rm -rf {} + 2>/dev/null || true
