# `make demo` plays, `make test` tests; each sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin

# mediapipe wants numpy 1 and Python before 3.13, so it has an environment of its own.
MEDIAPIPE_PYTHON ?= $(firstword $(foreach python,$(PYTHON) python3.12 python3.11,$(shell \
	$(python) -c 'import sys; (3, 11) <= sys.version_info < (3, 13) and print("$(python)")' 2>/dev/null)))

.PHONY: install demo test test-long chromium peers

install: .venv/core

demo: install
	$(BIN)/realtime run --subject alice

test: .venv/dev .venv-mediapipe/ready chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

test-long: .venv/dev chromium peers
	$(BIN)/pytest -m long

.venv/core: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bodydouble needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv, once: about 180 MB are downloaded, most of it OpenCV, OpenVINO and PyAV."
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/dev: .venv/core tests/constraints.txt
	@echo "Installing what tests need, PyTorch too: on Linux with its CUDA libraries, gigabytes are downloaded, once."
	$(BIN)/pip install --quiet --editable '.[dev]' --constraint tests/constraints.txt
	touch $@

# The library brings an OpenCV that needs a desktop's libraries; ours takes its place.
.venv-mediapipe/ready: pyproject.toml
	@[ -n "$(MEDIAPIPE_PYTHON)" ] || echo "No Python 3.11 or 3.12 here: the test of --pose mediapipe will be skipped."
	[ -z "$(MEDIAPIPE_PYTHON)" ] || { $(MEDIAPIPE_PYTHON) -m venv .venv-mediapipe \
	&& .venv-mediapipe/bin/pip install --quiet --editable '.[mediapipe]' \
	&& .venv-mediapipe/bin/pip install --quiet --force-reinstall --no-deps 'opencv-python-headless<4.12' \
	&& touch $@; }

chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium; } \
	|| echo "No Chromium here: the browser tests (tests/server/test_page.py, tests/realtime/test_serve.py) will be skipped." \
		"Install it with: sudo apt install chromium"

# What tests/server/test_interop.py watches with; what is missing is skipped there.
PEERS := gstreamer1.0-plugins-bad gstreamer1.0-plugins-good gstreamer1.0-libav gstreamer1.0-nice python3-gst-1.0 \
	gir1.2-gst-plugins-bad-1.0 gir1.2-gst-rtsp-server-1.0 firefox-esr janus

peers: .venv/dev
	@{ /usr/bin/python3 -c 'import gi; gi.require_version("GstWebRTC", "1.0")' && command -v firefox-esr && command -v janus; } >/dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq $(PEERS); } \
	|| echo "Some peers are missing here, and their tests will be skipped. Install them with: sudo apt install $(PEERS)"
	@[ -d .venv/node_modules/node-datachannel ] \
	|| npm install --silent --no-audit --no-fund --prefix .venv puppeteer-core@24 node-datachannel@0.33 \
	|| echo "There is no npm here, so the tests of Firefox and libdatachannel will be skipped."
