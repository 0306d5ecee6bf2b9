# demo, test, test-full, fuzz, bench, lint, device: each does its own set-up in .venv. cmake and ninja, where the machine has
# none, come with the build requirements of pyproject.toml.
PYTHON ?= python3
JOBS ?= 2
MINUTES ?= 10
SEED ?= 0
VENV := .venv
PY := $(VENV)/bin/python
CXX_FILES := $(wildcard kernels/*/*.h runtime/*.h aotgen/native/*.cpp)

.PHONY: demo test test-full fuzz bench lint device clean

# A system Python may lack ensurepip (Debian's python3-venv): virtualenv brings its own.
$(VENV)/ready: pyproject.toml CMakeLists.txt aotgen/native/module.cpp runtime/cpu_features.h
	$(PYTHON) -m venv $(VENV) || { \
	  $(PYTHON) -m pip install -q --target build/virtualenv virtualenv && \
	  PYTHONPATH=build/virtualenv $(PYTHON) -m virtualenv --clear $(VENV); }
	$(PY) -m pip install -q --upgrade pip
	$(PY) -m pip install -q -e '.[dev]'
	touch $@

demo: $(VENV)/ready            ## compile the digits CNN, verify it, run it in C, time it
	$(PY) models/demo.py

test: $(VENV)/ready            ## the tests of every change
	$(PY) -m pytest -n $(JOBS) --dist loadfile -m "not full"

test-full: $(VENV)/ready       ## everything, all real models included
	$(PY) -m pytest -n $(JOBS) --dist loadfile

fuzz: $(VENV)/ready            ## random graphs for MINUTES, from SEED on; findings in build/fuzz
	$(PY) -m tests.fuzz --minutes $(MINUTES) --seed $(SEED) --jobs $(JOBS)

bench: $(VENV)/ready           ## our models beside onnxruntime, in pinned interleaved processes
	$(PY) benchmarks/run.py

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/clang-format --dry-run --Werror $(CXX_FILES)

device: $(VENV)/ready          ## on a machine with a GPU: correctness of the cuda target
	$(PY) benchmarks/device.py

clean:
	rm -rf $(VENV) build dist
