# PYTHON names the interpreter that the virtual environment is made from.
PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements/build.lock requirements/run.lock requirements/dev.lock
STAMP = $(VENV)/setup.stamp
UV = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock"

# durable-rules' last release predates Python 3.13, where one of its C calls has another name; before 3.13 the flag changes nothing.
export CPPFLAGS := -DPyEval_CallObject=PyObject_CallObject $(CPPFLAGS)

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv with the locked libraries and the milepost command
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: $(PYTHON) is not Python 3.11 or newer; name one that is, as in: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@key="$$(cat $(LOCKS) pyproject.toml | cksum) $$($(PYTHON) -c 'import sys; print(sys.version)') $$PWD"; \
	if [ "$$(cat $(STAMP) 2>/dev/null)" = "$$key" ] && [ -x $(BIN)/milepost ]; then exit 0; fi; \
	for tool in $(firstword $(CC)); do command -v $$tool >/dev/null || { \
	  echo "make: no C compiler ($$tool); durable-rules is built from source: install gcc or clang, or set CC" >&2; exit 1; }; done; \
	echo "1/4  virtual environment $(VENV)"; \
	rm -f $(STAMP); \
	if [ "$$($(BIN)/python -c 'import sys; print(sys.version)' 2>/dev/null)" != "$$($(PYTHON) -c 'import sys; print(sys.version)')" ]; then \
	  $(PYTHON) -m venv --clear $(VENV) || { echo "make: $(PYTHON) -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }; fi; \
	echo "2/4  build tools"; \
	$(call install,requirements/build.lock); \
	echo "3/4  libraries; one is compiled, so this takes a minute or two"; \
	$(call install,requirements/dev.lock) || { \
	  echo "make: a library could not be installed; when it was durable-rules, Python's headers may be missing (Debian: python3-dev)" >&2; exit 1; }; \
	echo "4/4  milepost"; \
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .; \
	echo "$$key" > $(STAMP)

# pip's many lines become one that counts on a terminal, and one per ten libraries elsewhere; errors come through as they are.
install = $(BIN)/pip install --disable-pip-version-check --no-build-isolation --require-hashes --progress-bar off -r $(1) | \
	awk -v all="$$(grep -c '^[A-Za-z0-9].*==' $(1))" -v tty="$$([ -t 2 ] && echo 1 || echo 0)" \
	  '/^(Collecting|Processing|Ignoring|Requirement already)/ { n++; if (tty) printf "\r     %d of %d", n, all; else if (n % 10 == 0) print "     " n " of " all; fflush() } \
	   /^Building wheels/ { if (tty) printf "\r"; sub(/.*packages: /, ""); print "     compiling " $$0; fflush() } \
	   /^Installing collected/ { if (tty) printf "\r"; print "     unpacking"; fflush() }'

demo: setup ## Play athletes through the whole chain; ONCE=1 ends when done, FILE=run.fit takes your own recording
	@$(BIN)/milepost demo $(if $(ONCE),--once) $(FILE)

test: setup lint ## Lint, types, import contracts and every test
	@$(BIN)/python -m pytest -m "not bench" $(ARGS)

lint: setup ## Lint, format, types and import contracts
	@echo "ruff check"; $(BIN)/ruff check .
	@echo "ruff format"; $(BIN)/ruff format --check .
	@echo "mypy"; $(BIN)/mypy
	@echo "import contracts"; $(BIN)/lint-imports --no-logo

format: setup ## Bring the sources into form
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

bench: setup ## Print the figures, each next to its floor
	@$(BIN)/python -m tests.bench $(ARGS)

chaos: setup ## Kill and pause everything under load, N rounds of three minutes (default 20); then search MODEL sequences (default 500), flip every bit; SHORT=1: N rounds of the fault and law tests of make test
	@$(BIN)/python -m tests.chaos $(if $(SHORT),--short) --rounds $(or $(N),20) $(ARGS)
	@[ -n "$(SHORT)" ] || MILEPOST_HYPOTHESIS=random MODEL_EXAMPLES=$(or $(MODEL),500) $(BIN)/python -m pytest -q tests/integration/decision/test_model.py
	@[ -n "$(SHORT)" ] || EVERY_BIT=1 $(BIN)/python -m pytest -q tests/integration/decision/test_verify.py -k bit

lock: setup ## Resolve the libraries anew and write requirements/*.lock
	@[ -x $(BIN)/uv ] || $(BIN)/pip install --quiet --disable-pip-version-check uv
	$(UV) requirements/build.in --output-file requirements/build.lock
	$(UV) pyproject.toml --output-file requirements/run.lock
	$(UV) pyproject.toml --extra test --extra bench --constraint requirements/run.lock --output-file requirements/dev.lock

clean: ## Remove what the tools left behind; keeps .venv and .milepost
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

.PHONY: help setup demo test lint format bench chaos lock clean
