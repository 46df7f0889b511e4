# Every target makes .venv and builds what is missing; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help venv base net peers demo test test-long soak fuzz bench prove checklist lint format coverage clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

venv: base ## make .venv, install what is missing, build the extension
base:
	@tools/bootstrap.sh base
	@tools/build.sh release
net:
	@tools/bootstrap.sh base net
	@tools/build.sh release
peers:
	@tools/bootstrap.sh base net bench
	@tools/build.sh release

demo: net ## real requests over real web servers, all methods (ARGS="--method dr --keep")
	@$(PY) -m lbfast demo $(ARGS)

test: net ## every test that CI runs, at most 15 minutes (ARGS="-k word", "-n 0" one by one)
	@$(PYTEST) -n 3 --dist loadfile -m "not long and not soak" $(ARGS)

test-long: net ## interoperation and timing matrices
	@$(PYTEST) -m "long" $(ARGS)

soak: net ## hours of load
	@$(PYTEST) -m "soak" $(ARGS)

fuzz: base ## ten million frames under AddressSanitizer (ARGS="--frames N --seed N")
	@$(PY) tools/fuzz.py --asan $(ARGS)

bench: peers ## the benches, each with its figure on the last line
	@exec $(PY) tools/bench.py $(ARGS)

prove: peers ## measure the project's claims, one JSON line each (CLAIM="name name" for some)
	@exec $(PY) tools/prove.py $(CLAIM)

checklist: base ## which test holds which row of the conformance checklist
	@$(PY) tools/checklist.py

lint: base ## ruff, mypy, cython-lint, as CI runs them
	@tools/lint.sh

format: base ## let ruff put the files in order
	@$(PY) -m ruff check -q --fix . && $(PY) -m ruff format -q .

coverage: base ## lines reached by the tests that need no root (build/coverage/html)
	@tools/coverage.sh $(ARGS)

clean: ## remove what was built; .venv stays
	@rm -rf build dist *.egg-info .hypothesis .ruff_cache .benchmarks .coverage lbfast/*.so lbfast/*.c
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
