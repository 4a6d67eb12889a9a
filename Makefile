# Everything happens in .venv; the commands below make it when it is missing or out of date.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test full lint clean

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(READY)  ## a whole call on this machine: video, side-by-side picture, bytes report, in demo/
	$(BIN)/python -m benchmarks.demo --folder demo

test: $(READY)  ## set up and run the tests
	$(BIN)/python -m pytest -n auto --dist loadfile

full: $(READY)  ## the same with training and benchmark programs and the browser: all but slow tests
	$(BIN)/python -m pytest -n auto --dist loadfile -m 'not slow'

lint: $(READY)  ## format check, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:  ## remove the environment and what the demo wrote
	rm -rf $(VENV) demo

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
