# The ways to set up, show, test and check Toplovod. `make demo` and `make test` start from nothing.
# Everything is installed into .venv inside this folder; nothing outside it is changed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check
SHELL  := /bin/sh
FIRMWARE_STUBS := build/typings
ESPTOOL := build/esptool
# the set-up's parts that do not need each other go side by side: compiling beside downloading
MAKEFLAGS += --jobs=2
DEMO_FLAGS ?=
# A worker for every core and two for the time that tests wait, for a browser or a line; each takes over what
# another has left. The longest stand first.
WORKERS := $(shell $(PYTHON) -c 'import os; print(min(len(os.sched_getaffinity(0)) + 2, 4))')
TEST_FLAGS ?= --numprocesses $(WORKERS) --dist worksteal --durations 30 --durations-min 5 hil_tests supervisor tools core_ext firmware

.DEFAULT_GOAL := help
.PHONY: help prerequisites setup core vendor demo test browser check lint stubs esptool docs bench random-networks soak scenarios year seasons small-integers long-run worst-case mutations fleet faults fault-pairs flakes fuzz-modbus cross-build locks wheel wheel-check clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	    || sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1: \2/p' $(MAKEFILE_LIST)

prerequisites:
	@sh tools/checks/prerequisites.sh $(PYTHON)

$(BIN)/pip:
	@sh tools/checks/prerequisites.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)

# --require-hashes: a package whose bytes differ from the lock is refused
$(VENV)/.build-lock-installed: requirements-build.lock | $(BIN)/pip
	$(PIP) install --quiet --require-hashes -r $<
	@touch $@

$(VENV)/.locks-installed: requirements-dev.lock $(VENV)/.build-lock-installed | $(BIN)/pip
	$(PIP) install --quiet --require-hashes -r $<
	@touch $@

# the kernels are compiled once, by `core`; without the variable pip would compile them again
$(VENV)/.toplovod-installed: pyproject.toml setup.py $(VENV)/.locks-installed | core
	PYTHONWARNINGS=ignore TOPLOVOD_KERNELS=compiled $(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

setup: prerequisites $(VENV)/.toplovod-installed vendor  ## make .venv, build the core, fetch the screens' parts

core: $(VENV)/.build-lock-installed  ## rebuild the Cython kernels that changed
	$(BIN)/python setup.py --quiet build_ext --inplace

vendor: $(VENV)/.toplovod-installed  ## fetch the screens' third-party part, by lock and digest
	$(BIN)/python -m supervisor.hmi.vendor

demo: setup  ## set up from nothing, then run the town of Schutterwald with its screens
	$(BIN)/toplovod demo $(DEMO_FLAGS)

test: setup esptool  ## set up from nothing, then run every test (the browser's when Chromium is there)
	$(BIN)/python -m pytest $(TEST_FLAGS)

browser: setup  ## the browser tests alone
	$(BIN)/python -m pytest -m browser

$(FIRMWARE_STUBS)/.installed: requirements-stubs.lock | $(BIN)/pip
	rm -rf $(FIRMWARE_STUBS)
	$(PIP) install --quiet --require-hashes --no-deps --target $(FIRMWARE_STUBS) -r requirements-stubs.lock
	@touch $@

# a folder for each port: they have modules of the same names
$(FIRMWARE_STUBS)-%/.installed: requirements-stubs-%.lock | $(BIN)/pip
	rm -rf $(FIRMWARE_STUBS)-$*
	$(PIP) install --quiet --require-hashes --no-deps --target $(FIRMWARE_STUBS)-$* -r $<
	@touch $@

stubs: $(FIRMWARE_STUBS)/.installed $(FIRMWARE_STUBS)-esp32/.installed $(FIRMWARE_STUBS)-stm32/.installed

check: lint  ## lint, then the fast tests: what to run before every commit
	$(BIN)/python -m pytest -q -m "not slow and not browser"

lint: setup stubs  ## style, types, borders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tools/checks/firmware-mypy.ini firmware
	$(BIN)/mypy --config-file tools/checks/firmware-mypy-esp32.ini
	$(BIN)/mypy --config-file tools/checks/firmware-mypy-stm32.ini
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint core_ext
	$(BIN)/lint-imports
	$(BIN)/python -m supervisor.hmi.vendor --types
	$(BIN)/python -m tools.checks.scripts

# esptool is GPL: a program beside the product, in a folder that nothing of ours imports. It has no wheel, so
# the locked setuptools builds it.
$(ESPTOOL)/.installed: requirements-esptool.lock | $(VENV)/.toplovod-installed
	rm -rf $(ESPTOOL)
	$(PIP) install --quiet --require-hashes --no-deps --no-build-isolation --target $(ESPTOOL) -r $<
	@touch $@

esptool: $(ESPTOOL)/.installed  ## install esptool for the tests of the emulated ESP32

docs: $(VENV)/.toplovod-installed  ## write the generated pages of docs/ anew
	$(BIN)/toplovod registers --markdown --out docs/registers.md
	$(BIN)/python -m firmware.documentation
	$(BIN)/toplovod build --report --page docs/boards.md
	$(BIN)/toplovod bench core --from-json --json docs/performance.json --report docs/performance.md \
	    --plot docs/images/performance.svg
	$(BIN)/python -m tools.checks.shown_output --write docs/networks.md
	$(BIN)/python -m hil_tests.faults.page
	$(BIN)/python -m hil_tests.dhw.page
	test ! -e hil_tests/year.json || $(BIN)/python -m hil_tests.year_page

bench: setup  ## the measurements
	$(BIN)/python -m pytest -o python_files='measure_*.py' core_ext/measurements \
	    hil_tests/measurements --benchmark-only --benchmark-columns=min,median,max,ops,rounds
	$(BIN)/toplovod bench core --json build/performance.json --report build/performance.md \
	    --plot build/performance.svg

RANDOM_NETWORKS ?= 100000
random-networks: setup  ## solve 100 000 random networks and judge every answer from outside
	$(BIN)/python -m core_ext.bench.random_networks --count $(RANDOM_NETWORKS)

SOAK_DAYS ?= 30
soak: setup  ## run the whole application for 30 virtual days and watch its heap
	$(BIN)/python -m hil_tests.whole_application --days $(SOAK_DAYS)

SCENARIOS ?= l-2024 v-2017-01 v-2017-11 v-gt v-leak v-leases supervisor-silent v-2018-09
scenarios: setup  ## run the bench's scenarios at full size (L-2024: 324 stations), with a report each
	@for name in $(SCENARIOS); do \
	    $(BIN)/toplovod hil run $$name --report build/scenarios/$$name || exit 1; done

YEAR_FLAGS ?=
year: setup  ## run a house through a year of real weather; resumes in report/year (YEAR_FLAGS="--days 30 --from 11-01")
	$(BIN)/toplovod hil run year --report report/year $(YEAR_FLAGS)

seasons: setup  ## run a house through one week of each season
	$(BIN)/toplovod hil run seasons --report report/seasons

small-integers: setup  ## run every kind of site for a day with the small integers of a 32-bit board
	TOPLOVOD_SMALL_INTEGER_HOURS=24 $(BIN)/python -m pytest -s firmware/tests/test_small_integers.py --timeout=7200

long-run: setup  ## serve a house and a pump station for a day of polls and orders and watch their heaps
	TOPLOVOD_SERVICE_HOURS=24 $(BIN)/python -m pytest -s hil_tests/test_long_run.py

worst-case: setup  ## give four houses the worst valid orders for two days at -10 degC
	TOPLOVOD_ATTACK_HOURS=48 $(BIN)/python -m pytest -s hil_tests/test_worst_case_orders.py

mutations: setup  ## break every invariant in every way that is listed; each story must notice
	TOPLOVOD_MUTATIONS=all $(BIN)/python -m pytest hil_tests/test_stories_catch_mutations.py

FLEET_FLAGS ?= --devices 100 --hours 24
fleet: setup  ## measure 100 controllers with plant and supervisor for 24 virtual hours
	$(BIN)/python -m hil_tests.measurements.measure_fleet $(FLEET_FLAGS)

FAULT_FLAGS ?=
faults: setup  ## run all 336 fault cases; a rerun goes on where it stopped
	$(BIN)/toplovod hil run faults --report build/faults $(FAULT_FLAGS)

fault-pairs: setup  ## run every pair of fault types at once, 1 540 cases; a rerun goes on where it stopped
	$(BIN)/toplovod hil run faults --pairs --report build/fault-pairs $(FAULT_FLAGS)

FLAKE_EXECUTIONS ?= 10000
flakes: setup  ## run the short stories 10 000 times and count what fails; a rerun goes on where it stopped
	$(BIN)/python -m hil_tests.repeat --executions $(FLAKE_EXECUTIONS)

cross-build: $(VENV)/.locks-installed  ## compile every kernel for aarch64 (needs gcc-aarch64-linux-gnu)
	sh tools/checks/aarch64.sh $(BIN)/python build/aarch64

fuzz-modbus: setup  ## bend a million Modbus frames over TCP, two million inside the VM; 200 crowds of clients
	TOPLOVOD_FUZZ_LINE_FRAMES=1000000 $(BIN)/python -m pytest -s hil_tests/test_modbus_lines.py -k bent_frames_over_tcp \
	    --timeout=3600
	TOPLOVOD_FUZZ_FRAMES=1000000 $(BIN)/python -m pytest -s hil_tests/test_modbus_fuzz.py --timeout=3600
	TOPLOVOD_FUZZ_CROWDS=200 TOPLOVOD_FUZZ_STANDING=100 $(BIN)/python -m pytest -s hil_tests/test_modbus_stateful.py \
	    hil_tests/test_modbus_permitted.py --timeout=3600

locks: $(VENV)/.locks-installed  ## resolve the locks anew (needs uv and the network)
	sh tools/checks/locks.sh

wheel: setup
	rm -rf build/wheel build/bdist.*
	find build -path 'build/lib*' -type f ! -name '*.so' -delete
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .

wheel-check: wheel  ## install the wheel into an empty environment outside the tree and run the demo there
	sh tools/checks/wheel.sh $(PYTHON) build/wheel

clean:  ## remove everything that make made, .venv included
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf supervisor/hmi/static/vendor supervisor/hmi/node_modules
	rm -f core_ext/_*.c core_ext/_*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
