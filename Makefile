# Three doors, three commands: make lab, make test, make demo. They share one .venv, made when it is missing.
#
#   PYTHON=python3.12   the Python to make .venv with     (default: the first one found that is 3.11 or newer)
#   UV=                 set up with venv and pip even where uv is installed
#   LESSON=FILE.ipynb   the notebook that make lab opens
#   LAB_ARGS, PYTEST_ARGS, DEMO_ARGS, BUILD_ARGS, BENCH_ARGS, COST_ARGS, LOCK_ARGS   handed on to the tool

VENV ?= .venv
BIN := $(VENV)/bin
LESSON ?= $(firstword $(sort $(wildcard notebooks/*/*.ipynb)))
ALLOW_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help lab test demo check-all lint bench bench-rag bench-serving costs build lock setup clean

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

lab: $(VENV)/.ready ## open JupyterLab at the first lesson
	@$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" $(ALLOW_ROOT) $(LAB_ARGS) $(LESSON)

test: $(VENV)/.ready ## run unit tests, laws, doctests, README examples and notebooks
	@$(BIN)/python -m pytest -q -m "not slow" --nbval --nbval-current-env tests funcpipe_rag $(wildcard notebooks) $(PYTEST_ARGS)

demo: $(VENV)/.ready ## index real text in the terminal and ask it a question
	@$(BIN)/funcpipe-rag demo $(DEMO_ARGS)

check-all: lint ## run lint, types, every test with the slow ones, and the builds' own checks
	@$(BIN)/funcpipe-rag course build --check
	@$(BIN)/funcpipe-rag course map --check
	@$(BIN)/python tests/benchmarks/bench_import.py
	@test -x .venv-pyright/bin/pyright || { $(BIN)/python -m venv .venv-pyright && .venv-pyright/bin/python -m pip install --quiet --disable-pip-version-check pyright; }
	@test -x .venv-nbgrader/bin/nbgrader || { $(BIN)/python -m venv .venv-nbgrader && .venv-nbgrader/bin/python -m pip install --quiet --disable-pip-version-check nbgrader -e ".[course]"; }
	@test -x .venv-browser/bin/playwright || { $(BIN)/python -m venv .venv-browser && .venv-browser/bin/python -m pip install --quiet --disable-pip-version-check playwright; }
	@$(BIN)/python -m pytest -q --nbval --nbval-current-env tests funcpipe_rag $(wildcard notebooks) $(PYTEST_ARGS)

lint: $(VENV)/.ready ## run ruff, mypy --strict and the lessons' own lint
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/funcpipe-rag course lint

bench: $(VENV)/.ready ## time the streams, sync and async, against their peers (in an environment of their own), and measure memory
	@test -x .venv-peers/bin/python || $(BIN)/python -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check more-itertools toolz hypothesis \
	    streamable aiostream conveyor-streaming pypeln 'setuptools<81'
	@PYTHONPATH=. .venv-peers/bin/python tests/benchmarks/bench_streams.py $(BENCH_ARGS)
	@PYTHONPATH=. .venv-peers/bin/python tests/benchmarks/bench_async.py $(filter-out --memory,$(BENCH_ARGS))
	@$(BIN)/python tests/benchmarks/bench_memory.py

bench-rag: $(VENV)/.ready ## time the RAG builder against its peers, which go into an environment of their own
	@test -x .venv-rag-peers/bin/python || $(BIN)/python -m venv .venv-rag-peers
	@.venv-rag-peers/bin/python -m pip install --quiet --disable-pip-version-check langchain-core langchain-text-splitters \
	    langchain-classic greenlet chonkie llama-index-core haystack-ai llm lancedb tantivy bm25s PyStemmer typer rich
	@PYTHONPATH=. .venv-rag-peers/bin/python tests/benchmarks/bench_rag.py $(BENCH_ARGS)

bench-serving: $(VENV)/.ready ## time the five stages, their audit, many calls as one, and HTTP, against what one writes by hand
	@$(BIN)/python tests/benchmarks/bench_serving.py $(BENCH_ARGS)
	@$(BIN)/python tests/benchmarks/bench_http.py

costs: $(VENV)/.ready ## write tests/benchmarks/COSTS.md anew: what each function costs
	@$(BIN)/python tests/benchmarks/bench_cost.py --write $(COST_ARGS)

build: $(VENV)/.ready ## write notebooks/ and progression-map.md from modules/
	@$(BIN)/funcpipe-rag course build $(BUILD_ARGS)
	@$(BIN)/funcpipe-rag course map

lock: ## write requirements.lock anew (needs uv; LOCK_ARGS=--upgrade takes newer versions)
	@command -v uv >/dev/null || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 1; }
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
	    --generate-hashes --no-annotate --custom-compile-command "make lock" --quiet $(LOCK_ARGS) -o requirements.lock

setup: $(VENV)/.ready ## make .venv and nothing else

clean: ## delete caches and built distributions (.venv stays)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find funcpipe_rag tests notebooks modules -name __pycache__ -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} +

# The stamp names the folder it was made in: a clone that has moved, or whose Python is gone, is set up again.
ifneq ($(shell test -x $(BIN)/python && cat $(VENV)/.ready 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.ready
endif
$(VENV)/.ready: pyproject.toml requirements.lock
	@sh .ci/venv $(VENV)
