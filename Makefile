# `make` alone lists the targets. Needs Python 3.11 or newer, nothing else; all it installs goes to .venv.

PYTHON ?= python3
WORKERS ?= 3# test processes: many of them wait for others

BIN := .venv/bin
# -qq leaves errors.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock"

# Where it is set, each of hundreds of processes would compile the program anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-trust test test-faults bench check baseline examples docs clean format lint types layers contract hygiene proto lock

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-11s %s\n' "$$name" "$$text"; done

demo: .venv/.runtime ## run two nodes and a case between them
	@$(BIN)/rogatory demo

demo-trust: .venv/.runtime ## run three nodes: how members and keys come and go
	@$(BIN)/rogatory demo-trust

# A thousand of them wait for other processes, on machines of two cores: one that fails in the crowd is told of, and has
# to pass alone. One that fails twice, or a run that ended otherwise, has failed.
test: .venv/.dev ## run every test
	@echo "== tests ($(WORKERS) at a time)"
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS); status=$$?; \
		if [ $$status = 0 ]; then echo "== all tests passed"; exit; fi; \
		if [ $$status = 1 ]; then echo "== SOME FAILED IN THE CROWD (above); again, alone"; \
			$(BIN)/pytest -v --last-failed --last-failed-no-failures none $(ARGS) \
			&& { echo "== all tests passed, these only alone"; exit; }; fi; \
		echo "== TESTS FAILED"; exit 1

# By chance, and to be repeated: make test-faults ROGATORY_FAULT_SEED=17 ROGATORY_FAULT_ROUNDS=1
ROGATORY_FAULT_SEED ?= $(shell date +%s)
ROGATORY_FAULT_ROUNDS ?= 50

test-faults: .venv/.dev ## run the fault suite with many rounds of faults by chance
	@seed=$(ROGATORY_FAULT_SEED); echo "== faults: ROGATORY_FAULT_SEED=$$seed ROGATORY_FAULT_ROUNDS=$(ROGATORY_FAULT_ROUNDS)"; \
		ROGATORY_FAULT_SEED=$$seed ROGATORY_FAULT_ROUNDS=$(ROGATORY_FAULT_ROUNDS) \
		$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal tests/fault $(ARGS) \
		&& echo "== every promise held" || { echo "== A PROMISE WAS BROKEN; again with ROGATORY_FAULT_SEED=$$seed"; exit 1; }

# With all that it compares with, which is in no production environment.
bench: .venv/.dev ## measure speed, as ratios taken in one run
	@$(BIN)/rogatory bench $(ARGS)

check: format lint types layers contract hygiene ## what must hold before a commit, without the tests
	@echo "== all checks passed"

format: .venv/.dev
	@echo "== format"
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ."; exit 1; }

lint: .venv/.dev
	@echo "== lint"
	@$(BIN)/ruff check --quiet .

types: .venv/.dev
	@echo "== types"
	@$(BIN)/mypy

layers: .venv/.dev
	@echo "== layers"
	@$(BIN)/lint-imports --no-logo --no-cache

contract: .venv/.dev
	@echo "== contract: lint, breaking changes, generated code"
	@$(BIN)/python proto/generate.py --images
	@$(BIN)/buf lint build/image.binpb
	@$(BIN)/buf breaking build/image.binpb --against build/baseline.binpb
	@$(BIN)/python proto/generate.py --check

# A key's first or last line alone, or with the key behind it; a string that only names such a line is none.
PRIVATE_KEY := PRIVATE KEY-----(\\[rn])*([A-Za-z0-9+/]{16}|[[:space:]]*$$)
# The brackets keep the pattern from finding itself.
INDEX := py[p]i\.|python[h]osted|index[-_]url|find[-_]links

# git grep exits with 1 if it found nothing.
hygiene:
	@echo "== hygiene: no private key, no address of a package index"
	@git grep --untracked -nIE '$(PRIVATE_KEY)' ; test $$? -eq 1
	@git grep --untracked -nIE '$(INDEX)' ; test $$? -eq 1
	@git grep --untracked -nE '://' -- '*.lock' ; test $$? -eq 1

proto: .venv/.dev ## generate Python from the .proto files
	@$(BIN)/python proto/generate.py

examples: .venv/.dev ## write the samples of the tests as examples of the documents
	@$(BIN)/python -m tests.samples

# Says what is wrong instead of building a site with it; the notice is about a version of MkDocs that is not locked.
docs: .venv/.dev ## build the documentation as a site, build/site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "== build/site/index.html"

# Only at a release: from then on, a change that breaks this contract fails `make check`.
baseline: .venv/.dev ## take the contract as released
	@$(BIN)/python proto/generate.py --baseline

# Keeps what is locked and still fits; ARGS=--upgrade takes the newest that has cooled down.
lock: .venv/.dev ## lock versions and hashes
	@echo "== lock"
	@$(UV_COMPILE) $(ARGS) --group build --output-file requirements.lock pyproject.toml
	@$(UV_COMPILE) $(ARGS) --group dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean: ## remove all that is made here
	rm -rf .venv build dist .coverage .coverage.* htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip comes last of all: what was broken off, or lacked ensurepip (Debian: python3-venv), has a python and no pip.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Rogatory needs Python 3.11 or newer as '$(PYTHON)'; name another: make PYTHON=python3.12"; exit 1; }
	@echo "== making .venv"
	@$(PYTHON) -m venv .venv || { echo "'$(PYTHON) -m venv' does not work here; on Debian, apt install python3-venv"; exit 1; }

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/pip
	@echo "== installing requirements.lock into .venv (a minute, the first time)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.lock pyproject.toml | .venv/bin/pip
	@echo "== installing requirements-dev.lock into .venv (a minute or two, the first time)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
