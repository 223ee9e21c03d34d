# One command for each thing one does here; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
unexport PYTHONDONTWRITEBYTECODE  # else each process compiles anew all that it imports

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := broker executors pricing simulator
CHECKED := $(wildcard $(PACKAGES) tests benchmarks examples notebooks docs/hooks)
UV_PIN = $(shell grep '^uv==' constraints.txt)

# The first interpreter that is new enough; `make install PYTHON=/path/to/python3.12` chooses another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell command -v $(p) >/dev/null && $(p) -c '$(NEW_ENOUGH)' 2>/dev/null && echo $(p))))

.PHONY: help install demo test check soak bench docs notebooks golden pins clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Set up .venv in the checkout with the pinned versions (and Python's venv module, where Debian left it out)

demo: install ## Run the main job: real jobs to a Ray cluster and a serverless pool, with reasons and dollars
	@$(BIN)/python examples/demo.py

# A file's tests share what they started. Most of a test is waiting for processes, so three suit two cores.
test: install ## Run all tests
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile

check: install ## Lint, format, types, import arrows, docs
	@failed=; run() { echo "==> $$*"; "$(BIN)/$$@" || failed="$$failed $$1"; }
	run ruff check $(CHECKED)
	run ruff format --check $(CHECKED)
	run mypy
	run mypy tests/typing
	run lint-imports --no-cache
	NO_MKDOCS_2_WARNING=1 run mkdocs build --strict --quiet --site-dir $(CURDIR)/$(VENV)/site
	if [ -n "$$failed" ]; then echo "Failed:$$failed"; exit 1; fi
	echo "All checks passed."

MINUTES ?= 10
STORE ?= sqlite
soak: install ## Run random jobs while things go wrong, and hold it all to account (MINUTES=10 STORE=sqlite SEED=…)
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) --store $(STORE) $(if $(SEED),--seed $(SEED))

bench: install ## Run the benchmarks of benchmarks/, each against a named alternative
	@for file in benchmarks/bench_*.py; do echo "==> $$file"; PYTHONPATH=. $(BIN)/python "$$file"; done

docs: install ## Build the docs into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html"

notebooks: install ## Run the notebooks of notebooks/; their reports lie in build/notebooks/
	@PLOTLY_RENDERER=notebook $(BIN)/python -m nbconvert --config notebooks/reports.json \
		--output-dir build/notebooks notebooks/*.ipynb
	@echo "Open build/notebooks/*.html"

golden: install ## Rewrite the frozen baselines of tests/golden/ (review the diff)
	@$(BIN)/python -m pytest -q -m golden --golden-rewrite || [ $$? = 5 ]  # 5: no golden tests yet

pins: install ## Raise constraints.txt to the newest versions that fit together (review the diff, then make test)
	@$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --all-extras --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file constraints.txt >/dev/null
	@git diff --stat -- constraints.txt

clean: ## Remove what make made
	rm -rf $(VENV) build dist site .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@PYTHON='$(PYTHON)' UV_PIN='$(UV_PIN)' VENV='$(VENV)' bash .ci/install
	@touch $@
