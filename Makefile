# Needs Python 3.11 or newer (with pip and venv) and make. Each target sets up all that it needs, in .venv, once.
#   make demo    train on a simulated market, trade a month of it through the real function, show what happened
#   make test    the tests                         (ARGS="-k tick" chooses)
#   make check   what CI runs: formatting, lint, types, imports, the policy scan, then the tests
#   make setup-research   what `hourhand backtest` and `optimise` need
#   make bench   the figures
#   make soak    simulated histories in which everything fails (SOAK_SECONDS=60), on all cores
#   make mutants break the code on purpose, and see the simulation notice
#   make kills   kill real processes at real requests (KILLS=200), over HTTP and the Firestore emulator
#   make races   flip the switch while ticks run, on the Firestore emulator (RACES=5000)
#   make day     a day of the whole deployment on one machine, on Google's emulators, in minutes
#   make scan    the policy scan of infra/ (checkov, in a folder of its own)
#   make clean   remove what was installed and made (not var/, where state and models are)

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup-train setup-research setup-dev setup-bench demo test lint check bench soak mutants kills races day scan clean

VENV := .venv
SCAN := .venv-scan
PY := $(VENV)/bin/python
ARGS ?=
unexport PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX
WORKERS ?= 3
SOAK_SECONDS ?= 60
KILLS ?= 200
RACES ?= 5000

help:
	@sed -n 's/^#   //p' Makefile

# $(call setup,NAME): requirements-NAME.txt and the `hourhand` command in .venv. A stamp, written last, says for which
# requirements, interpreter and folder; anything else, or an interrupted run, installs again.
define setup
	@set -eu; \
	works() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	wanted() { { cat requirements*.txt pyproject.toml; pwd; $(PY) --version; } 2>&1 | cksum; }; \
	stamp=$(VENV)/.hourhand-$(1); log=$(VENV)/hourhand-$(1).log; \
	if works $(PY) && [ -f "$$stamp" ] && [ "$$(cat "$$stamp")" = "$$(wanted)" ]; then exit 0; fi; \
	rm -f "$$stamp"; \
	if ! { works $(PY) && $(PY) -m pip --version >/dev/null 2>&1; }; then \
		found=; \
		for name in "$${PYTHON:-python3}" python3.13 python3.12 python3.11 python3 python; do \
			if works "$$name" && "$$name" -c 'import ensurepip, venv' >/dev/null 2>&1; then found=$$name; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "No Python 3.11 or newer with venv was found. Install one (Debian, Ubuntu: apt install python3 python3-venv)," >&2; \
			echo "or name it: make PYTHON=/path/to/python3.12" >&2; \
			exit 1; \
		fi; \
		"$$found" -m venv --clear $(VENV); \
	fi; \
	echo "Setting up $(VENV) for '$(1)' with $$($(PY) --version), once; some minutes on a slow line (tail -f $$log) ..."; \
	if ! $(PY) -m pip install --disable-pip-version-check --no-input -r requirements-$(1).txt >"$$log" 2>&1 \
		|| ! $(PY) -m pip install --disable-pip-version-check --no-input --no-deps -e . >>"$$log" 2>&1; then \
		grep -v '^WARNING' "$$log" | tail -n 15 >&2; \
		echo "The installation failed; all of it is in $$log. Mend that (a network?) and run make again." >&2; \
		exit 1; \
	fi; \
	$(PY) -m compileall -qq $(VENV)/lib >/dev/null 2>&1 || true; \
	wanted >"$$stamp"
endef

# Without .pyc files a start compiles for seconds, and some environments forbid to write them on the way.
compiled = @$(PY) -m compileall -qq core functions tests main.py

setup-train:
	$(call setup,train)

setup-research:
	$(call setup,research)

setup-dev:
	$(call setup,dev)

setup-bench:
	$(call setup,bench)

demo: setup-train
	$(compiled)
	@$(VENV)/bin/hourhand demo $(ARGS)

test: setup-dev
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: setup-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo

check: lint scan
	@$(MAKE) --no-print-directory test

bench: setup-bench
	$(compiled)
	@$(PY) -m benchmarks $(ARGS)

soak: setup-dev
	$(compiled)
	@$(PY) -m tests.simulation --seconds $(SOAK_SECONDS) --workers $(WORKERS) $(ARGS)

mutants: setup-dev
	$(compiled)
	@$(PY) -m tests.mutants $(ARGS)

kills: setup-dev
	$(compiled)
	@$(PY) -m tests.processes --kills $(KILLS) $(ARGS)

races: setup-dev
	$(compiled)
	@$(PY) -m tests.races --races $(RACES) $(ARGS)

day: setup-dev
	$(compiled)
	@$(PY) -m tests.day $(ARGS)

# checkov has pins of its own, so a folder of its own. It exits with 0 when it could not read a file.
scan:
	@[ "$$(cat $(SCAN)/done 2>/dev/null)" = "$$(cksum <requirements-scan.txt)" ] || { \
		echo "Setting up $(SCAN) for checkov, once; some minutes on a slow line ..."; \
		"$${PYTHON:-python3}" -m venv --clear $(SCAN) \
		&& $(SCAN)/bin/python -m pip install -q --disable-pip-version-check --no-input -r requirements-scan.txt \
		&& cksum <requirements-scan.txt >$(SCAN)/done; }
	@$(SCAN)/bin/checkov --config-file infra/.checkov.yaml >$(SCAN)/report.txt; code=$$?; cat $(SCAN)/report.txt; \
	if grep -q 'Parsing errors: [1-9]' $(SCAN)/report.txt; then exit 1; fi; exit $$code

clean:
	rm -rf $(VENV) $(SCAN) build ./*.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find core functions tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
