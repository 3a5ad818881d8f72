# `make demo` plays, `make test` tests; each sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test chromium

install: .venv/core

demo: install
	$(BIN)/realtime run --subject alice

test: .venv/dev chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

.venv/core: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bodydouble needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/dev: .venv/core tests/constraints.txt
	$(BIN)/pip install --quiet --editable '.[dev]' --constraint tests/constraints.txt
	touch $@

chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium; } \
	|| echo "No Chromium here: the browser tests (tests/test_server_page.py, tests/test_live_page.py) will be skipped." \
		"Install it with: sudo apt install chromium"
