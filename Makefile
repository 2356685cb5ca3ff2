# What CI runs, and what a fresh machine with python3-venv, g++ and make can run:
#   make demo    builds and installs homezoo, then talks to its own model and teaches it in every way
#   make test    installs what the tests need, then runs them (ALL=1: the slow ones too)
#   make check   format, lint, types, structure, generated docs
#   make test-llamaindex   tests homezoo.integrations.llama_index, with LlamaIndex beside .venv
#   make test-extras   tests training, editing and conversion, with PyTorch and other extras beside .venv
#   make bench   measures this machine
# Everything is installed into .venv; nothing outside this folder is changed.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/stamps
NATIVE := CMakeLists.txt pyproject.toml $(wildcard native/*)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-llamaindex test-extras check bench docs clean

# Without PyTorch the demonstration leaves out training and editing.
demo: $(STAMPS)/core
	@$(MAKE) -s $(STAMPS)/torch || echo "PyTorch cannot be installed here"
	@if [ -e $(STAMPS)/torch ]; then in=.venv-extras; else in=.venv; fi; $$in/bin/python -m homezoo demo --folder build/demo

test: $(STAMPS)/dev
	$(BIN)/python -m pytest -q $(if $(ALL),,-m "not slow")

# LlamaIndex brings sixty packages; they stay out of .venv, whose homezoo is used as it is.
test-llamaindex: $(STAMPS)/llamaindex
	.venv-llamaindex/bin/python -m pytest -q tests/integrations

$(STAMPS)/llamaindex: $(STAMPS)/dev
	$(PYTHON) -m venv .venv-llamaindex
	.venv-llamaindex/bin/python -m pip --disable-pip-version-check install -q "llama-index-core>=0.14"
	.venv-llamaindex/bin/python .ci/join_venv.py $(CURDIR)/.venv
	touch $@

# .venv stays without PyTorch, as the core has to be tested without it. On Linux the CPU build is enough:
# make test-extras TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
EXTRAS_TESTS := tests/train tests/edit tests/compare tests/commands/test_compare.py tests/ops/test_autograd.py tests/models/test_gradients.py \
  tests/models/test_zoo.py tests/models/test_against_transformers.py tests/context/test_load.py \
  tests/zoo/test_convert_transformers.py tests/zoo/test_peft.py tests/zoo/test_peft_logits.py

test-extras: $(STAMPS)/extras
	.venv-extras/bin/python -m pytest -q $(if $(ALL),,-m "not slow") $(EXTRAS_TESTS)

$(STAMPS)/torch: $(STAMPS)/core
	@echo "installing PyTorch for training and editing ..."
	$(PYTHON) -m venv .venv-extras
	.venv-extras/bin/python -m pip --disable-pip-version-check install -q $(TORCH)
	.venv-extras/bin/python .ci/join_venv.py $(CURDIR)/.venv
	touch $@

$(STAMPS)/extras: $(STAMPS)/dev $(STAMPS)/torch
	.venv-extras/bin/python -m pip --disable-pip-version-check install -q matplotlib pyarrow pypdf peft trl
	touch $@

check: $(STAMPS)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_structure.py
	$(BIN)/python docs/make_cli.py --check

bench: $(STAMPS)/dev
	$(BIN)/homezoo bench stories --prompt 256 --generate 64

docs: $(STAMPS)/core
	$(BIN)/python docs/make_cli.py

clean:
	rm -rf .venv .venv-llamaindex .venv-extras build dist

$(STAMPS)/venv:
	$(PYTHON) -m venv .venv
	mkdir -p $(STAMPS)
	touch $@

# Installed from this folder, so a change of Python needs no second install; one of C++ does. Once
# the `dev` extra is there, its build tools serve, and only what changed is compiled.
$(STAMPS)/core: $(STAMPS)/venv $(NATIVE)
	@echo "building and installing homezoo (a minute or two) ..."
	$(PIP) install -q $(if $(wildcard $(STAMPS)/dev),--no-build-isolation) --editable .
	touch $@

# homezoo itself is installed already, so this adds only the tools that its `dev` extra lists.
$(STAMPS)/dev: $(STAMPS)/core
	@echo "installing what tests and checks need ..."
	$(PIP) install -q "homezoo[dev]"
	touch $@
