PYTHON ?= python3
BIN := .venv/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Two processes that run tests would have four threads multiply small matrices.
test conformance: export OPENBLAS_NUM_THREADS := 1
test conformance: export OMP_NUM_THREADS := 1

# The directories too: their date tells that a file has gone. With /. because
# conformance alone is the name of a target.
SOURCES := $(shell find minigrad/. seq/. conformance/. \
	-not -path '*__pycache__*' -not -name '*.so')

.PHONY: help setup conformance peers test pytest test-pure test-checked bench bench-ops docs lint clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: .venv/ready ## make .venv, with all that the other commands need

conformance: .venv/ready ## hold every output and gradient against PyTorch
	$(BIN)/python -m conformance

peers: .venv-peers/ready ## run other frameworks through the suite; docs/peers.md
	.venv-peers/bin/python -m conformance.peers

test: lint pytest test-pure test-checked ## lint, then the tests on all three builds

pytest: .venv/ready ## all tests and doctests
	$(BIN)/pytest -n auto

test-pure: .venv/ready ## the engine's tests on the plain Python twin of the extension
	# Random steps run on the plain machine in `pytest` too, beside the compiled one.
	MINIGRAD_PURE=1 $(BIN)/pytest -n auto tests/engine \
		--ignore tests/engine/test_fused_random.py

test-checked: export PYTHONPATH := $(CURDIR)/build/checked
test-checked: build/checked/ready ## the engine's tests on an installed, checked build
	$(BIN)/python -P -c 'from minigrad import _tape; assert _tape.CHECKED'
	MINIGRAD_CHECKED=1 $(BIN)/pytest -n auto tests/engine

bench: .venv/ready ## measure; the peers that are installed take turns with minigrad
	$(BIN)/python -m benchmarks

bench-ops: .venv/ready ## measure each op, and keep it for pytest-benchmark compare
	$(BIN)/python -m benchmarks ops

docs: .venv/ready ## write the reference, and draw the figures of the course
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/course/figures.py

lint: .venv/ready ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove what was built, but not the packages in .venv
	rm -rf build dist *.egg-info .venv/ready minigrad/*.so
	rm -rf .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"minigrad needs Python 3.11 or newer: make PYTHON=path/to/python3")'
	$(PYTHON) -m venv .venv

.venv/ready: pyproject.toml setup.py $(wildcard minigrad/*.pyx minigrad/*.px[di] minigrad/*.h) | .venv/pyvenv.cfg
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

.venv-peers/ready: pyproject.toml setup.py $(wildcard minigrad/*.pyx minigrad/*.px[di] minigrad/*.h) | .venv/pyvenv.cfg
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --editable '.[subjects]'
	touch $@

# Emptied first: a module that was deleted must not live on in an old build.
build/checked/ready: .venv/ready $(SOURCES)
	rm -rf build/checked build/checked-base
	MINIGRAD_CHECKED=1 $(BIN)/pip install --quiet --no-deps \
		--no-build-isolation --target build/checked .
	touch $@
