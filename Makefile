# Needs Python 3.11 or later with venv, and make. Everything else goes into .venv.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
VERSION := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' node/core/version.py)
SBOM ?= dist/rasnode-$(VERSION).cdx.json
# The same sources make the same files: the time of the last commit stands for now.
EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
# Tests start hundreds of processes, which should not compile everything each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test demo check format lock dist sbom clean help

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

dist: $(VENV)/.test ## sdist, wheel and SBOM in ./dist
	rm -rf dist
	SOURCE_DATE_EPOCH=$(EPOCH) $(BIN)/python -m build --no-isolation --outdir dist
	$(MAKE) --no-print-directory sbom

sbom: ## what the node is made of, from its pinned requirements, as CycloneDX
	mkdir -p $(dir $(SBOM))
	sed 's/^dynamic = .*/version = "$(VERSION)"/' pyproject.toml >$(SBOM).toml
	SOURCE_DATE_EPOCH=$(EPOCH) PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements \
		--pyproject $(SBOM).toml --mc-type application --output-reproducible \
		--spec-version 1.6 --output-format JSON --output-file $(SBOM) requirements/run.txt
	rm $(SBOM).toml

clean: ## forget the virtual environment and caches; ./data stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

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
