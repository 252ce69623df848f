# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo     everything from a bare machine to a rendered picture of smoke
# make test     everything from a bare machine to the whole test suite
# make lint     ruff and mypy alone
# make bench    the benchmarks
# make clean    the environments and caches that these made; bakes and pictures stay
#
# PYTHON=python3.13 chooses the interpreter (3.11 or 3.13), APT=no keeps apt out of the set-up,
# ARGS="tests/test_layers.py -x" goes to pytest, LINT=no leaves the linters out of `make test`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help demo test lint bench clean
export PYTHON APT

ARGS ?=
LINT ?= yes
DEMO := output/demo

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

define lint
	"$$python" -m ruff check .
	"$$python" -m ruff format --check .
	"$$python" -m mypy
endef

# One shell a recipe: what the set-up prints is the environment's Python.
.ONESHELL:

test:
	@python=$$(scripts/setup.sh test)
	if [ "$(LINT)" != no ]; then
	$(lint)
	fi
	"$$python" -m pytest $(ARGS)

lint:
	@python=$$(scripts/setup.sh test)
	$(lint)

demo:
	@python=$$(scripts/setup.sh demo)
	"$$python" -m fluid_addon run lua_presets/smoke_plume/script.lua -o $(DEMO)
	bake=$$(ls -td $(DEMO)/*/ | head -n 1)
	"$$python" -m fluid_addon render "$$bake" -o $(DEMO)/smoke.png
	echo
	echo "The VDB frames:"
	ls "$$bake"*.vdb
	echo "The picture:"
	ls $(DEMO)/smoke.png

bench:
	@python=$$(scripts/setup.sh test)
	for file in benchmarks/bench_*.py; do
	"$$python" -m "benchmarks.$$(basename "$$file" .py)"
	done

clean:
	rm -rf .venv-3.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
