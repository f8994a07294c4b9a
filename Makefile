# Needs Python 3.11 or later with venv, and make. Everything else goes into .venv.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
VERSION := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' node/core/version.py)
CODE := node tests benchmarks requirements
# For another Python: tests without a node, and the few tools that they need.
QUICK := tests/unit/completion tests/unit/core tests/unit/dicom/matching \
	tests/unit/assemble/test_geometry.py --ignore=tests/unit/core/test_wall_clock.py
QUICK_TOOLS := attrs|hypothesis|iniconfig|pluggy|psycopg|psycopg-binary|pytest|pytest-timeout|sortedcontainers
OTHER_VENV = .venv-$(notdir $(PYTHON))
SBOM ?= dist/rasnode-$(VERSION).cdx.json
# The same sources make the same files, with the time of the last commit.
EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
# Tests start hundreds of processes, which should not compile every module each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-python demo check format architecture lock dist sbom notices clean help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

run: $(VENV)/.run ## set up and start the node on its defaults
	$(BIN)/rasnode serve -c config.yaml

test: $(VENV)/.test ## set up and run the tests
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-python: ## run the quick unit tests with another Python: make test-python PYTHON=python3.13
	$(PYTHON) -m venv --clear $(OTHER_VENV)
	awk '/^[a-z]/ {keep = $$1 ~ /^($(QUICK_TOOLS))==/} keep' requirements/test.txt >$(OTHER_VENV)/tools.txt
	$(OTHER_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --no-deps \
		--require-hashes -r requirements/run.txt -r $(OTHER_VENV)/tools.txt
	$(OTHER_VENV)/bin/python -m pytest -q -p no:cacheprovider $(QUICK)

demo: $(VENV)/.run ## send two phantom studies to a node of their own and show the volumes
	$(BIN)/rasnode demo

check: $(VENV)/.test ## format, lint, types, layers, spelling
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell $(CODE) docs README.md CHANGELOG.md CONTRIBUTING.md config.yaml

format: $(VENV)/.test ## format the code
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

architecture: $(VENV)/.test ## draw the picture of the rooms again
	$(BIN)/python -m tests.architecture.picture

lock: ## pin the requirements again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		pyproject.toml requirements/build.in -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		pyproject.toml requirements/build.in --extra test -o requirements/test.txt

dist: $(VENV)/.test ## sdist, wheel, SBOM and third-party notices in ./dist
	rm -rf dist
	SOURCE_DATE_EPOCH=$(EPOCH) $(BIN)/python -m build --no-isolation --outdir dist
	$(MAKE) --no-print-directory sbom notices

notices: ## the licences of all pinned packages
	$(BIN)/python requirements/notices.py requirements/run.txt dist/THIRD-PARTY-NOTICES.txt

sbom: ## a list of the pinned requirements, as CycloneDX
	mkdir -p $(dir $(SBOM))
	sed 's/^dynamic = .*/version = "$(VERSION)"/' pyproject.toml >$(SBOM).toml
	SOURCE_DATE_EPOCH=$(EPOCH) PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements \
		--pyproject $(SBOM).toml --mc-type application --output-reproducible \
		--spec-version 1.6 --output-format JSON --output-file $(SBOM) requirements/run.txt
	rm $(SBOM).toml

clean: ## remove the virtual environments and caches; ./data stays
	rm -rf $(VENV) .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

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
