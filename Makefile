# `make` sets up and runs the pipeline; `make help` lists the rest.
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
GPU ?= $(wildcard .venv/.ready-requirements-gpu.lock)
LOCK := $(if $(GPU),requirements-gpu.lock,requirements.lock)
VENV := .venv
READY := $(VENV)/.ready-$(LOCK)
BIN := $(VENV)/bin
EXTRAS := --extra s3 --extra ssh --extra gs --extra azure --extra onnx --extra watch --extra search
COMPILE := uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --group dev $(EXTRAS) $(UPGRADE)
# What the stages write into DVC's cache: `make graph` writes this line.
OUTS := data/sample data/index.csv data/problems.csv data/splits/train.csv data/splits/val.csv data/splits/test.csv data/splits/unlabelled.csv data/classes.txt data/processed models/encoder models/model.weights.h5 models/model.json data/predictions export data/explanations report/index.html
FAST := $(addprefix tests/,core data augmentation evaluation commands)
LEFT_OUT := $(filter-out $(FAST),$(patsubst %/,%,$(filter-out tests/__pycache__/,$(wildcard tests/*/))))
# A copied or moved clone would run the commands, and import the code, of the folder in which its .venv was made.
MOVED := $(shell sed -n 's/^command = .* -m venv //p' $(VENV)/pyvenv.cfg 2>/dev/null | \
	{ read -r made; test -z "$$made" || test "$$made" = "$$(pwd -P)/$(VENV)" || echo yes; })
# Of benchmarks, that what they call is there, as it is called.
MYPY_BENCHMARKS := MYPYPATH=src:benchmarks mypy --allow-untyped-defs --disable-error-code arg-type benchmarks
VERSIONS := ai-edge-litert|jinja2|keras|matplotlib|mlxtend|numpy|onnx|onnxruntime|opencv-python-headless|pillow|scikit-learn|scipy|tensorflow|tf2onnx

export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := all
.PHONY: all help setup repro test test-fast lint format graph lock bench clean cache clean-cache $(if $(MOVED),$(READY))

all: repro

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 16

setup: $(READY)  ## create .venv with the locked packages (GPU=1: with CUDA's, remembered until GPU= takes them away)

repro: $(READY)  ## run what has changed, then print the metrics (the default)
	@dvc repro || { python -m heldout doctor --fix; test $$? -eq 3 && dvc repro; }
	@python -m heldout summary

test: $(READY)  ## run all tests, on all cores (ARGS=...: pytest's)
	@python -m pytest --numprocesses auto --dist worksteal $(ARGS)

test-fast: $(READY)  ## run the tests that take under a minute (it says what it leaves out)
	@python -m pytest --numprocesses auto -m "not slow" $(FAST) $(ARGS)
	@echo "test-fast left out: $(LEFT_OUT) and what is marked slow (TensorFlow, whole pipelines in DVC repositories): make test"

lint: $(READY)  ## format, lint, types, whether the lists that follow from the stages are as written, and GitHub's workflows
	@ruff format --check . && ruff check . && mypy && $(MYPY_BENCHMARKS) && python -m heldout graph --check && zizmor --offline --quiet .github/workflows

format: $(READY)  ## format the code and sort its imports
	@ruff check --select I --fix --quiet . && ruff format .

graph: $(READY)  ## write the lists that follow from the stages' code into dvc.yaml, Makefile, README.md and docs/
	@python -m heldout graph

lock: $(READY)  ## write both locks and env.yaml from pyproject.toml (UPGRADE=--upgrade: to the newest versions)
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --extra gpu pyproject.toml -o requirements-gpu.lock
	@{ grep '^#' env.yaml; sed -nE 's/^($(VERSIONS))==([^ ]+).*/\1: \2/p' requirements.lock; } > env.yaml.new && mv env.yaml.new env.yaml

bench: $(READY)  ## measure what the README and docs/ quote, as ratios to a baseline in the same run
	@python benchmarks/pipeline.py
	@python benchmarks/data.py
	@python benchmarks/train.py

cache: $(READY)  ## say how large the cache of decoded images is
	@python -m heldout cache

clean-cache: $(READY)  ## remove the cache of decoded images (the next preprocess decodes all of them)
	@python -m heldout cache --clear

clean:  ## remove .venv and what the stages wrote; the DVC cache, your images and git's files stay
	rm -rf $(VENV) $(OUTS) .dvc/state
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# DVC unpickles the notes in site_cache_dir, so that folder is this user's alone: where DVC makes it, anybody can write to
# it. DVC cannot write a path that is not ASCII to its settings, so such a clone's notes are in /var/tmp. Under LC_ALL=C
# setuptools cannot write such a path to a .pth, nor can Python 3.11 read it, so that is made relative.
# uv installs in a fraction of pip's time; where it cannot be had, pip installs the same files by the same hashes.
$(READY): $(LOCK) pyproject.toml
	@case "$$(pwd -P)" in *:*) echo "make: a colon in $$(pwd -P) separates folders of PATH: rename the folder"; exit 1;; esac
	@test -z "$(MOVED)" || { echo "make: .venv was made in another folder: making it again"; rm -rf $(VENV); }
	@test -n "$(PYTHON)" || { echo "make: no python3.11 found: install it, or make PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v < (3, 14) and f"make: Python 3.11 to 3.13 is needed, {v[0]}.{v[1]} came: make PYTHON=python3.11")'
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@sed -n '/^uv==/,/^    #/p' $(LOCK) > $(VENV)/uv.lock
	@if python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock; then \
		uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python $(LOCK) && \
		LC_ALL= uv pip install --quiet --compile-bytecode --no-deps --no-build-isolation --python $(BIN)/python --editable .; \
	else \
		python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK) && \
		LC_ALL= python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	fi
	@for link in $(VENV)/lib/python*/site-packages/__editable__.heldout-*.pth; do echo ../../../../src > "$$link"; done
	@site="$$(pwd -P)/.dvc/site"; \
	if echo "$$site" | LC_ALL=C grep -q '[^ -~]'; then site=/var/tmp/heldout-$$(id -u); fi; \
	mkdir -p "$$site" && test ! -h "$$site" && chmod 700 "$$site" && dvc config --local core.site_cache_dir "$$site"
	@rm -f $(VENV)/.ready-* && touch $@
