# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo     everything from a bare machine to a rendered picture of smoke
# make test     everything from a bare machine to the whole test suite
# make test-blender BLENDER=/path/to/blender   the tests that click through a real Blender, and take its pictures
# make test-long   the physical proofs that take minutes; writes their table and plots into docs/validation.md
# make lint     ruff and mypy alone
# make bench    the benchmarks
# make thumbnails   the pictures of the presets, PRESETS="smoke_plume campfire" for these alone
# make extension   the packages that Blender installs, in dist/
# make clean    the environments and caches that these made; bakes and pictures stay
#
# PYTHON=python3.13 chooses the interpreter (3.11 or 3.13), APT=no keeps apt out of the set-up,
# ARGS="tests/test_layers.py -x" goes to pytest, LINT=no leaves the linters out of `make test`.
# PLATFORMS=linux-x64 builds the packages of these platforms alone.
# test-blender needs Linux, a Blender of 4.5 or newer, and Xvfb, xdotool and ImageMagick (apt install xvfb xdotool imagemagick).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help demo test test-long test-blender lint bench thumbnails extension clean
export PYTHON APT BLENDER

ARGS ?=
PLATFORMS ?=
PRESETS ?=
LINT ?= yes
DEMO := output/demo
DEMO_SCRIPT := lua_presets/smoke_plume/script.lua
# Within a minute on two cores without a graphics card.
DEMO_SIZE := --frames 1-48 --param resolution=64

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
	"$$python" -m pytest -n 2 --dist worksteal $(ARGS)

test-blender:
	@python=$$(scripts/setup.sh test)
	"$$python" scripts/build_extension.py linux-x64
	"$$python" -m pytest tests/real_blender $(ARGS)

# One after the other, as they fill the machine, and without the layer, which would take longer than they do. Short proofs
# that are in the table, too, run again.
test-long:
	@python=$$(scripts/setup.sh test)
	rm -rf output/validation
	export FLUID_SCRIPT_VALIDATION=0 FLUID_SCRIPT_RECORD=output/validation
	"$$python" -m pytest -m long --timeout=3600 -o faulthandler_timeout=3660 $(ARGS)
	"$$python" -m pytest tests/validation $(ARGS)
	"$$python" -m benchmarks.validation_page output/validation

lint:
	@python=$$(scripts/setup.sh test)
	$(lint)

# The run says where its bake lies in its last line; the copy of it on stderr is for whoever watches.
demo:
	@python=$$(scripts/setup.sh demo)
	bake=$$("$$python" -m fluid_addon run $(DEMO_SCRIPT) -o $(DEMO) $(DEMO_SIZE) | tee >(cat >&2) | sed -n 's/^Bake: //p')
	"$$python" -m fluid_addon render "$$bake" -o $(DEMO)/smoke.png
	echo "The VDB frames:"
	find "$$bake" -name '*.vdb' -not -name '.*' | sort
	echo "The picture:"
	ls $(DEMO)/smoke.png

bench:
	@python=$$(scripts/setup.sh test)
	for file in benchmarks/bench_*.py; do
	"$$python" -m "benchmarks.$$(basename "$$file" .py)"
	done

thumbnails:
	@python=$$(scripts/setup.sh demo)
	"$$python" scripts/make_thumbnails.py $(PRESETS)

extension:
	@python=$$(scripts/setup.sh demo)
	"$$python" scripts/build_extension.py $(PLATFORMS)

clean:
	rm -rf .venv-3.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
