# Each target sets up what it needs, from nothing but Python (3.10 or later) and cargo.
#
#   make demo          what Hypatia does to real models, in one table
#   make test          lint's counterpart: every test that a change has to pass
#   make test-full     those, the slow ones and every way of installing
#   make test-install  every way of installing, each in an environment of its own
#   make test-torch TORCH=2.15   the tests with another torch
#   make conformance  torch's own operators and modules, all of them; writes docs/conformance.md
#   make lint          format, types, stubs, clippy
#   make bench         timings, in alternating rounds
#   make docs          the documentation, under site/, and the crate's under site/rust
#
# PYTHON=python3.12 chooses the interpreter. SITE=…/site-packages shares an installed torch with the new
# environment instead of downloading it. JOBS=2 bounds the parallel builds.

PYTHON ?= python3
SITE ?=
VENV ?= .venv
TORCH ?=
ifdef JOBS
export CARGO_BUILD_JOBS := $(JOBS)
endif

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := $(abspath $(VENV))/bin
PY := $(BIN)/python
PROJECT := pyproject.toml hypatia_core/pyproject.toml
SOURCES := $(PROJECT) hypatia_core/Cargo.toml hypatia_core/Cargo.lock hypatia_core/.cargo/config.toml \
    $(shell find hypatia_core/src -name '*.rs')

TORCH_REQUIREMENT := torch$(if $(TORCH),==$(TORCH).*)

# What is built stands in the environment, so that another VENV has its own.
TOOLS := $(VENV)/.tools
NATIVE := $(VENV)/.native
RELEASE := $(VENV)/.native-release

# The tests of what is compiled for each width of registers: where the processor has 512 bits, those of 256 run too.
KERNELS := linear:: elementary:: attention:: depthwise:: convolution:: winograd:: recurrence:: inner_product:: bilinear:: native

.PHONY: help demo test test-rust test-python test-mutants test-full test-install test-torch conformance lint bench docs compiler browser cargo nextest

help:
	@sed -n 's/^#   //p' Makefile

demo: $(RELEASE) compiler
	HF_HUB_OFFLINE=1 $(PY) examples/demo.py

test: test-rust test-python

test-rust: cargo nextest
	cd hypatia_core
	if cargo nextest --version >/dev/null 2>&1; then
	    cargo nextest run --no-default-features
	    HYPATIA_REGISTER_BITS=256 cargo nextest run --no-default-features $(KERNELS)
	else
	    cargo test --no-default-features --lib --tests
	fi
	cargo test --no-default-features --doc

test-python: $(NATIVE) compiler browser
	$(PY) -m pytest

# The share of mutated rules that the checker of rules refutes, and each survivor.
test-mutants: cargo
	cd hypatia_core
	cargo test --no-default-features --test mutants -- --ignored --nocapture

test-full: test test-mutants test-install
	$(PY) -m pytest -m slow

# A test of these builds the package several times over, as its reader would.
test-install: $(NATIVE)
	$(PY) -m pytest -m install -v -o faulthandler_timeout=3600 hypatia_core/tests

test-torch:
	@[[ -n "$(TORCH)" ]] || { echo "say which: make test-torch TORCH=2.15"; exit 2; }
	$(MAKE) test-python VENV=.venv-torch-$(TORCH) TORCH=$(TORCH)

conformance: $(NATIVE)
	cd hypatia_core/tests
	$(PY) -W ignore -m conformance

lint: $(NATIVE)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m mypy.stubtest --allowlist hypatia_core/stubtest-allowlist.txt hypatia_core._hypatia_core
	cd hypatia_core
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings

# The peers come with: pip install "hypatia-core[bench]". A benchmark that fails is named at the end; the others run.
bench: $(RELEASE) compiler
	$(PY) hypatia_core/tests/mlp_perf_test.py
	failed=
	for name in overhead cost_model linear_algebra graphs training compile_time convolution accuracy symbolic geometric models; do
	    $(PY) benchmarks/$$name.py || failed="$$failed $$name"
	done
	$(PY) benchmarks/tables.py
	[[ -z "$$failed" ]] || { echo "failed or not whole:$$failed"; exit 1; }

docs: $(NATIVE)
	$(PY) -m mkdocs build --strict
	cd hypatia_core
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --target-dir ../site/rust

.ONESHELL:

# Torch comes first and by itself: it is the one large download, of several GB on Linux.
$(TOOLS): pyproject.toml
	@if [[ ! -x $(PY) ]]; then
	    $(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "Python 3.10 or later is needed, this is " + sys.version'
	    $(PYTHON) -m venv $(VENV)
	    if [[ -n "$(SITE)" ]]; then
	        echo "$(SITE)" > "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	    fi
	fi
	$(PY) -m pip install --quiet --upgrade "pip>=25.1"
	echo "Installing torch into $(VENV): several GB, where pip has it not in its cache …"
	$(PY) -m pip install --quiet "$(TORCH_REQUIREMENT)"
	echo "Installing the development tools and the models of the tests into $(VENV) …"
	$(PY) -m pip install --quiet "$(TORCH_REQUIREMENT)" --group dev >/dev/null
	# Of a shared environment's maturin there is only the library; the program has to be in this one.
	[[ -x $(BIN)/maturin ]] || $(PY) -m pip install --quiet --force-reinstall --no-deps "maturin>=1.9,<2"
	touch $@

$(NATIVE): $(TOOLS) $(SOURCES) | cargo
	@VIRTUAL_ENV=$(abspath $(VENV)) $(PY) -m maturin develop
	touch $@

# A release build serves the tests too.
$(RELEASE): $(TOOLS) $(SOURCES) | cargo
	@VIRTUAL_ENV=$(abspath $(VENV)) $(PY) -m maturin develop --release
	touch $(NATIVE) $@

compiler:
	@if ! command -v c++ g++ clang++ >/dev/null; then
	    if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then
	        echo "There is no C++ compiler: installing g++ with apt-get …"
	        { apt-get update -qq && apt-get install -y -qq g++; } >/dev/null || true
	    fi
	    command -v c++ g++ clang++ >/dev/null || echo "There is no C++ compiler (on Debian and Ubuntu: sudo apt-get install g++)." \
	        "Everything works without one, but nothing is compared with Inductor or run by it."
	fi

# The report's page is tried in Debian's Chromium; without one those tests say that they are left out.
browser:
	@if ! command -v chromium chromium-browser google-chrome >/dev/null && [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then
	    echo "Installing chromium with apt-get, for the tests of the report's page …"
	    { apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null || true
	fi

cargo:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs and run make again."; exit 1; }

nextest: cargo
	@if ! cargo nextest --version >/dev/null 2>&1; then
	    echo "Installing cargo-nextest, the runner of the Rust tests; without a prebuilt one this takes minutes, once …"
	    if command -v cargo-binstall >/dev/null; then
	        cargo binstall --no-confirm --quiet cargo-nextest || true
	    else
	        cargo install --locked --quiet cargo-nextest || true
	    fi
	    cargo nextest --version >/dev/null 2>&1 || echo "cargo-nextest could not be installed: the Rust tests run under cargo test."
	fi
