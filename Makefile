# Needs Python 3.11 or later with venv, and make. Everything else goes into .venv.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Tests start hundreds of processes, which should not compile everything each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test demo check format lock clean help

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

run: $(VENV)/.run ## set up and start the node on its defaults
	$(BIN)/rasnode serve -c config.yaml

test: $(VENV)/.test ## set up and run the tests
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

demo: $(VENV)/.run ## send two phantom studies to a node of their own and show the volumes
	$(BIN)/rasnode demo

check: $(VENV)/.test ## format, lint, types, layers, spelling
	$(BIN)/ruff format --check node tests benchmarks
	$(BIN)/ruff check node tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell node tests benchmarks docs README.md CHANGELOG.md

format: $(VENV)/.test ## put the code into form
	$(BIN)/ruff format node tests benchmarks
	$(BIN)/ruff check --fix node tests benchmarks

lock: ## make the pinned requirements again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		pyproject.toml requirements/build.in -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		pyproject.toml requirements/build.in --extra test -o requirements/test.txt

clean: ## forget the virtual environment and caches; ./data stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "rasnode needs Python 3.11 or later" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes -r requirements/run.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes -r requirements/test.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.run
