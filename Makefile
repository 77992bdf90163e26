# `make demo` and `make test` need python3 (3.11 or newer, with venv), make and a package index; nothing else.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q
SHELL := /bin/bash
# where npm came with its own Node, Debian's packages would be in its way
PACKAGES = chromium nginx-light postgresql strace valgrind $(shell command -v npm >/dev/null || echo nodejs npm) \
  $(shell command -v gcc >/dev/null || echo gcc libc6-dev)

# a locked set of requirements in an environment of its own
venv = $(PYTHON) -m venv .peers/$(1) && .peers/$(1)/bin/python -m pip --disable-pip-version-check --no-input -q \
  install --require-hashes -r requirements/$(1).txt

.DEFAULT_GOAL := help
.PHONY: help demo test check lint deps bench bench-peers bench-parts cost soak lock clean docs quality corpus

help:
	@echo "make demo    simulator, proxy and page; one reply in the terminal (ONCE=1: end after it)"
	@echo "make test    the tests that need nothing but Python"
	@echo "make deps    Debian packages and npm tools that the other tests need (as root, or with sudo)"
	@echo "make check   everything: lint, types, all tests"
	@echo "make bench   the proxy beside nginx and others, into docs/ (QUICK=1: two minutes, into the terminal only)"
	@echo "make bench-peers the others: Portkey, LiteLLM, and what a tutorial's proxy is made of"
	@echo "make bench-parts CPU per event of the pure pipeline; what the guard costs"
	@echo "make cost    instructions and system calls an event, beside their bounds (WRITE=1: store new ones); the parts"
	@echo "make soak    the long forms of the tests"
	@echo "make docs    write the generated tables into docs/"
	@echo "make quality the guard's recall on presidio-evaluator's sentences, into docs/ (downloads its wheel)"
	@echo "make corpus  DIR=folder SOURCE=owner/repository@commit: what the guard finds in dialogues, into docs/"
	@echo "make lock    resolve the dependencies anew (needs uv)"
	@echo "make clean   remove .venv, .peers and node_modules"

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "streamweir needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Give another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

.venv/base: .venv/made pyproject.toml requirements/base.txt requirements/build.txt
	@echo "installing streamweir into .venv …"
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/base.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: .venv/base requirements/dev.txt
	@echo "installing the development tools into .venv …"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

demo: .venv/base
	@$(BIN)/streamweir demo $(if $(ONCE),--once)

test: .venv/dev
	$(BIN)/python -m pytest -m "not check"

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@test -x node_modules/.bin/pyright || { echo "pyright is missing: run 'make deps'" >&2; exit 1; }
	node_modules/.bin/pyright
	node_modules/.bin/tsc -p .

# ONLY=check leaves out what `make test` has run already
check: lint
	STREAMWEIR_REQUIRE_ALL=1 $(BIN)/python -m pytest $(if $(ONLY),-m $(ONLY))

soak: .venv/dev
	STREAMWEIR_REQUIRE_ALL=1 STREAMWEIR_SOAK=1 $(BIN)/python -m pytest -m slow || \
	  { [ $$? = 5 ] && echo "no test has a long form yet"; }

bench: .venv/dev
	$(BIN)/python -m bench.peers $(if $(QUICK),--quick,--write)

# each of them is optional: `make bench` goes on without
bench-peers:
	npm ci --no-audit --no-fund --ignore-scripts --prefix bench/peers/node
	@test -x .peers/litellm/bin/litellm || { $(call venv,litellm); }

bench-parts: .venv/dev
	$(BIN)/python bench/relay.py
	$(BIN)/python -m bench.guard

# the first is what 'make check' holds; the parts below it are only printed
cost: .venv/dev
	$(BIN)/python -m bench.cost $(if $(WRITE),--write)
	$(BIN)/python -m bench.budget

docs: .venv/dev
	$(BIN)/python tests/acceptance/test_every_offset.py --write
	$(BIN)/python -m tests.contract.matrix --write
	$(BIN)/python -m tests.docs.test_events --write
	$(BIN)/python -m tests.stock_clients.matrix --write
	$(BIN)/python -m tests.quality.tutorials --write
	$(BIN)/python -m tests.quality.measure --write

# once in a while, by hand: neither sentences nor dialogues are part of this repository, and no test needs them
quality: .venv/dev
	$(BIN)/python -m tests.quality.measure --templates --write

corpus: .venv/dev
	@test -n "$(DIR)" -a -n "$(SOURCE)" || { echo "make corpus DIR=folder SOURCE=owner/repository@commit" >&2; exit 1; }
	$(BIN)/python -m tests.quality.corpus "$(DIR)" "$(SOURCE)" --write

deps:
	@if [ "$$(id -u)" = 0 ]; then as=; elif command -v sudo >/dev/null; then as=sudo; else \
	  echo "make deps installs Debian packages: run it as root, or install sudo" >&2; exit 1; fi; \
	  $$as apt-get update -q && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -q -y $(PACKAGES)
	npm ci --no-audit --no-fund
	for set in node20 node22; do npm ci --no-audit --no-fund --prefix tests/stock_clients/$$set || exit 1; done
	for set in clients litellm postgres; do $(call venv,$$set) || exit 1; done

# one resolution for all Python versions and platforms; files name no index
lock:
	@for set in build base dev clients litellm postgres; do \
	  case $$set in \
	    build|clients|litellm|postgres) source=requirements/$$set.in; extra= ;; \
	    base) source=pyproject.toml; extra= ;; \
	    dev) source=pyproject.toml; extra="--group dev" ;; \
	  esac; \
	  { echo "# made by 'make lock'; every version and hash is locked"; \
	    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate $$source $$extra; \
	  } > requirements/$$set.txt; \
	done

clean:
	rm -rf .venv node_modules .peers tests/stock_clients/node*/node_modules bench/peers/node/node_modules
