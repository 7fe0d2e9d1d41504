# Everything happens inside this folder: .venv holds the environment, demo/ what the demonstration writes.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
# Where pip looks for torch. PyPI's build for Linux is the CUDA one, several gigabytes: without an NVIDIA driver the CPU
# build of PyTorch's own index is taken. The README says how to choose another.
TORCH_INDEX ?= $(if $(shell command -v nvidia-smi 2>/dev/null),,https://download.pytorch.org/whl/cpu)
INPUT ?=
OUTPUT ?= demo

# Limits the size of all files, also of those that coverage keeps its lines in.
SMALL_FILES := Testing/engine/test_hostile_files.py::TestADiskThat::test_takes_no_more_of_a_file_leaves_none_of_it

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PIP := $(BIN)/python -m pip install --constraint Testing/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-long coverage screenshots lists clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## Make the environment in .venv, with the command cardiacseg in it.

$(STAMP): pyproject.toml Testing/constraints.txt
	@test -n "$(PYTHON)" || { echo "CardiacSeg needs Python 3.10 or later: install it, or name it by make PYTHON=..."; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "$(PYTHON) does not run or is older than 3.10: name another by make PYTHON=..."; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv --clear $(VENV)
	$(if $(TORCH_INDEX),$(PIP) --index-url "$(TORCH_INDEX)" --retries 1 --timeout 20 torch ||) $(PIP) torch
	$(PIP) --editable ".[test]"
	@touch $@

demo: $(STAMP) ## Segment the phantom, or the file of INPUT=heart.nii.gz, into demo/.
	$(BIN)/python -m CardiacSegLib.demo --output "$(OUTPUT)" $(if $(INPUT),--input "$(INPUT)")

test: $(STAMP) ## Check style, import rules and behavior.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist worksteal

test-long: $(STAMP) ## Run the tests that train or measure for minutes.
	$(BIN)/pytest -m long

coverage: $(STAMP) ## Show which lines `make test` does not reach, in every process that it starts.
	$(PIP) coverage
	rm -rf build/coverage && mkdir -p build/coverage
	COVERAGE_FILE=$(CURDIR)/build/coverage/data OMP_NUM_THREADS=1 \
	    $(BIN)/coverage run -m pytest --numprocesses auto --dist worksteal --deselect $(SMALL_FILES)
	COVERAGE_FILE=$(CURDIR)/build/coverage/data $(BIN)/coverage combine --quiet
	COVERAGE_FILE=$(CURDIR)/build/coverage/data $(BIN)/coverage report

screenshots: $(STAMP) ## Take pictures of every section of the panel, into demo/ or into OUTPUT=FOLDER.
	CARDIACSEG_SCREENSHOTS="$(OUTPUT)" $(BIN)/pytest -m "long or not long" Testing/gui/test_screenshots.py

lists: $(STAMP) ## Write the lists of files that ship, after adding or removing one.
	$(BIN)/python Testing/engine/shipped_files.py

clean: ## Remove what make wrote, the environment too.
	rm -rf $(VENV) demo build CardiacSeg/*.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find CardiacSeg Testing -name __pycache__ -type d -prune -exec rm -rf {} +
