# Nightjar: `make demo` shows it, `make test` proves it; both create the environment first. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-native lint bench-ingest bench-serve bench-swap bench-beside fmt proto lock lock-beside clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## create .venv with every pinned dependency

$(BIN)/uv: requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Nightjar needs Python 3.11 or newer; name one with 'make PYTHON=python3.12 ...'"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@touch $@

$(READY): $(BIN)/uv requirements/dev.lock pyproject.toml clients/python/pyproject.toml
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . -e clients/python
	@touch $@

demo: $(READY) ## the main job on real events: Kafka to trained model to recommendations, in about 3 minutes
	$(BIN)/nightjar demo

test: lint ## lint, then every test, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## format, lint, types, import map, contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy services scheduler deploy clients/python/nightjar tests benchmarks
	$(BIN)/lint-imports
	$(BIN)/buf lint

test-native: $(READY) ## the serving tests that start processes, on the native engine; about 7 minutes
	TEST_ENGINE=native $(BIN)/python -m pytest tests/integration/test_inference_rpc_process.py \
	  tests/integration/test_two_workers.py tests/integration/test_swap_across_workers.py \
	  tests/integration/test_two_phase_swap.py tests/integration/test_hidden_items.py \
	  tests/integration/test_trials_across_workers.py tests/integration/test_untrusted_bundles.py \
	  tests/integration/test_users.py tests/integration/test_repeatable_answers.py

bench-ingest: $(READY) ## how fast events get in, and how soon; about 15 minutes
	$(BIN)/python -m benchmarks.ingest

bench-serve: $(READY) ## what an answer costs, beside the bare ladder of this machine; about 5 minutes
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.serve

bench-swap: $(READY) ## what a swap costs those being served: 50 swaps, 50 rollbacks; about 12 minutes
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.swap

BESIDE := .venv-beside
$(BESIDE)/.ready: $(BIN)/uv benchmarks/beside.lock
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BESIDE)
	$(BIN)/uv pip sync --quiet --python $(BESIDE)/bin/python --require-hashes benchmarks/beside.lock
	@touch $@

bench-beside: $(READY) $(BESIDE)/.ready ## the encoder beside RecTools' SASRec, iALS beside implicit; about 20 minutes
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.beside_sasrec --set dense --users 768
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.beside_sasrec --set sparse --users 1920
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.beside_implicit --set dense
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.beside_implicit --set dense --dim 128

fmt: $(READY) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(READY) ## regenerate the stubs in clients/python/nightjar/v1 and docs/asyncapi.yaml
	$(BIN)/python -m deploy.generate_stubs
	$(BIN)/python -m deploy.generate_asyncapi

lock: $(BIN)/uv ## resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --all-extras pyproject.toml -o requirements/dev.lock
	echo uv | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url - -o requirements/uv.lock

# pm-implicit is a copy of implicit under the same module name, which would overwrite it.
lock-beside: $(BIN)/uv ## resolve what the benchmarks are held against anew; for Linux
	$(BIN)/uv pip compile --quiet --python-platform linux --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-package pm-implicit benchmarks/beside.in -o benchmarks/beside.lock

clean: ## remove the environment and every local state folder
	rm -rf $(VENV) $(BESIDE) .nightjar .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
