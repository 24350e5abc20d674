# Everything happens in .venv, which the first target that needs it makes. Needs Python 3.11+ with venv, and make.
# Which Python: the first that is new enough, or `make PYTHON=/path/to/python run`.

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# More for pytest: `make test ARGS="-k schema"`.
ARGS ?=
# Two files at a time: much of the time a test waits for something. Compiled before: tests start perfcore some hundred
# times, and where PYTHONDONTWRITEBYTECODE is set each would compile it anew (a fifth of the suite's time).
PYTEST := $(BIN)/python -m compileall -q perfcore && $(BIN)/python -m pytest -n 2 --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-full check lint format man bench clean venv

help: ## list these targets
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: $(INSTALLED) ## install into .venv, then run config/test_config.yaml on every core
	$(BIN)/perfcore config/test_config.yaml --procs auto

test: $(INSTALLED) ## run the tests; those that need a Debian package skip where it is missing
	$(PYTEST) $(ARGS)

# 5 is pytest's "no tests collected": .ci/run asks for the marked tests alone, and there may be none.
test-full: $(INSTALLED) ## run the tests; one that needs a missing Debian package fails
	export PERFCORE_REQUIRE_DEBIAN=1; $(PYTEST) $(ARGS) || [ $$? -eq 5 ]

check: $(INSTALLED) ## the one gate: format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) $(ARGS)

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED) ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

man: perfcore.1 ## build the manual page perfcore.1

perfcore.1: $(INSTALLED) perfcore/cli/parser.py perfcore/target/command.py perfcore/_version.py
	$(BIN)/python setup.py --quiet build_manpages

bench: $(INSTALLED) ## measure speed and size beside other tools, 90 minutes; ARGS=--quick tries it
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python -m bench $(ARGS)

venv: $(INSTALLED) ## make .venv and install perfcore into it, editable, with what development needs

# Kept: .venv (rm -r it yourself) and results/.
clean: ## remove what was built and every cache
	rm -rf build dist *.egg-info perfcore.1 .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find perfcore tests examples bench -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv whose Python is gone or too old is made anew; one without pip gets it.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
$(INSTALLED): pyproject.toml setup.py
	@if ! $(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
			if $$python -c '$(NEW_ENOUGH)' 2>/dev/null; then found=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "perfcore needs Python 3.11 or newer, and found: $$($(or $(PYTHON),python3) --version 2>&1);" \
				"install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
		fi; \
		if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
			echo "$$found has no venv or no pip; install them (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; \
		fi; \
		$(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null || clear=--clear; \
		echo "making $(VENV) with $$found"; \
		$$found -m venv $$clear $(VENV); \
	fi
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@
