# make setup   a .venv in the checkout with everything pinned; done once, redone when the pins change
# make demo    the worked example, then MobileNetV2 on photographs
# make test    lint, types, structure checks and every test
# make runner  the native runner for this machine and for phones; needs g++ and g++-aarch64-linux-gnu
# make agents  the agent for every microcontroller board; needs gcc-arm-none-eabi and libnewlib-arm-none-eabi
# make bench   the speeds we claim, side by side with their peers

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.edgekit-setup

.PHONY: setup demo test lint unit runner agents bench clean

setup: $(STAMP)

# torch first and alone: with it installed, the ranges of the other packages add no CUDA build.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

demo: setup
	$(BIN)/python examples/demo.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/checks/structure.py

unit: setup
	$(BIN)/python tests/halves.py

test: lint unit

runner: setup
	$(BIN)/python android_harness/runner/build.py --abi x86_64
	$(BIN)/python android_harness/runner/build.py --abi arm64-v8a

agents: setup
	$(BIN)/python mcu/build_boards.py --all

bench: setup
	$(BIN)/python benchmarks/conversion.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/host_latency.py
	$(BIN)/python benchmarks/adb.py
	$(BIN)/python benchmarks/mcu.py
	$(BIN)/python benchmarks/mcu_serial.py
	$(BIN)/python benchmarks/mcu_fuzz.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache
