# demo, test, test-full, bench, lint, device: each does its own set-up in .venv.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: demo test test-full bench lint device clean

$(VENV)/ready: pyproject.toml CMakeLists.txt aotgen/native/module.cpp
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --upgrade pip
	$(PY) -m pip install -q -e '.[dev]'
	touch $@

demo: $(VENV)/ready            ## compile the digits CNN, verify it, run it in C, time it
	$(PY) models/demo.py

test: $(VENV)/ready            ## the tests of every change
	$(PY) -m pytest -n 2 --dist loadfile -m "not full"

test-full: $(VENV)/ready       ## everything, all real models included
	$(PY) -m pytest -n 2 --dist loadfile

bench: $(VENV)/ready           ## our models beside onnxruntime, in pinned interleaved processes
	$(PY) benchmarks/run.py

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/clang-format --dry-run --Werror $$(git ls-files 'kernels/*.h' 'runtime/*.h' 'aotgen/native/*.cpp')

device: $(VENV)/ready          ## on a machine with a GPU: correctness of the cuda target
	$(PY) benchmarks/device.py

clean:
	rm -rf $(VENV) build dist
