# Everything from a bare machine: Python 3.10+, make, git and a C++ compiler.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python

.DEFAULT_GOAL := help
FUZZ ?= --minutes 2

.PHONY: help demo test test-slow test-torch fuzz lint types bench clean

# Tests share the cores, but those that time something have them to themselves, after the others.
PARALLEL := -n logical --dist worksteal
# Files with such tests: to look at all others takes half a minute.
ALONE = $(shell grep -rl --include='*.py' 'mark\.alone' tests)

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/:/' | column -t -s :

$(VENV)/.dev: pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@

demo: $(VENV)/.dev  ## tune SqueezeNet for two minutes, build it, run it from C++, compare
	$(RUN) -m bench.demo

test: $(VENV)/.dev  ## all tests but the slow ones, a few minutes; with SLOW=1 these beside them
	$(RUN) -m pytest $(PARALLEL) -m '$(if $(SLOW),,not slow and )not alone'
	$(RUN) -m pytest -m '$(if $(SLOW),,not slow and )alone' $(ALONE)

test-slow: $(VENV)/.dev  ## the slow ones
	$(RUN) -m pytest $(PARALLEL) -m 'slow and not alone'
	$(RUN) -m pytest -m 'slow and alone' $(ALONE)

test-torch: $(VENV)/.dev  ## PyTorch and Keras, which it installs (large; CI leaves them out)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev,keras,torch]'
	$(RUN) -m pytest tests/torch

fuzz: $(VENV)/.dev  ## random models against ONNX Runtime, with a fresh seed, two minutes
	$(RUN) -m tests.fuzz $(FUZZ)

lint: $(VENV)/.dev  ## ruff, rules and format
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.dev  ## mypy, strict, on the package as users get it
	rm -rf build
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --target build/installed .
	MYPYPATH=build/installed $(RUN) -m mypy

bench: $(VENV)/.bench  ## latency, kernels and footprint, into bench/RESULTS.md
	$(RUN) -m bench.latency
	$(RUN) -m bench.kernels
	$(RUN) -m bench.footprint

clean:  ## forget the virtual environment and all build outputs
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
