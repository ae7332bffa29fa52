# Debian installs syslog-ng and logrotate outside an ordinary user's PATH; for .debian see tools/setup.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin:$(CURDIR)/.debian/bin
# With it, each of the hundreds of processes that the tests start would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

# A wrong mode is refused before the set-up, which takes minutes.
ifneq ($(filter demo,$(MAKECMDGOALS)),)
ifneq ($(filter-out aws watch,$(MODE)),)
$(error MODE=$(MODE) is neither aws nor watch)
endif
endif

.PHONY: help setup system test check style types test-units test-integration test-stacks test-stacks-and-hosts test-hosts test-convert test-long hosts faults demo bench synth requirements

help:
	@echo "make check FILE=LOG  check a log against the rules, with the command alone (LEVEL=medium: that level and above); needs only Python"
	@echo "make setup  create .venv; needs only Python"
	@echo "make system make setup, and install the Debian packages that the demo and most tests run; the other targets run this first"
	@echo "make test   run all checks and tests: make check (style, types, rooms), test-integration, test-units (both under /usr/bin/python3 if that can run them) and test-stacks"
	@echo "make test-convert  test what rules convert makes with the backends of its extra, in an environment of its own"
	@echo "make test-long  run the tests that are too long for make test, and the property tests with other and more examples"
	@echo "make hosts  boot a log server and a node of OpenBao in systemd-nspawn, from the user data of the templates (root)"
	@echo "make faults kill, stop and cut off what audit entries go through, and print what was lost and who waited (ROUNDS=n: so many at random, SEED=n; LIVE=1: by the vault or bao on PATH; WRITE=1: into docs/guarantee.md)"
	@echo "make demo   play a recorded Vault session through syslog-ng and a local AWS to Slack (MODE=watch: no AWS, LIVE=1: a real server, KEEP=1: keep all files of the run)"
	@echo "make bench  run the benchmarks, and compare them with their goals (PEERS=1: also with rsigma and DuckDB, which it installs)"
	@echo "make synth  write the CloudFormation templates to cdk.out (STRICT=1: warnings are errors)"
	@echo "make node-package  write the package for Vault nodes that exist already to dist (ARCH=amd64 or arm64, PYTHON=3.12)"

setup:
	@tools/setup

system:
	@tools/setup system

# Three at a time, of which two run in two processes each: much of the time they wait for other processes. Their output is interleaved line by line.
test: style
	@$(MAKE) --no-print-directory --jobs=3 types test-integration test-units test-stacks-and-hosts

# The name of a log may contain blanks, quotes and dollars: it reaches the script as it was given.
ifeq ($(origin FILE)$(value FILE),command line)
$(error FILE is empty: name a log, as in make check FILE=audit.log)
endif
ifdef FILE
check: export CHECKED := $(value FILE)
check: export LEVEL := $(LEVEL)
check:
	@tools/check-log
else
# It comes first: the set-up takes minutes.
ifneq ($(filter check,$(MAKECMDGOALS)),)
$(info check: style and types of the code; make check FILE=LOG checks a log)
endif
check: style types
endif

style: setup
	@tools/check style

types: setup
	@tools/check types

test-integration: system
	@echo "check: integration tests and fault tests (one dot per test)"
	@tools/system-python tools/pytest-in-two -rs -- tests/faults tests/integration/test_[a-d]* -- tests/integration/test_[e-z]*

test-units: system
	@echo "check: unit tests (one dot per test)"
	@tools/system-python tools/pytest-in-two -- tests/unit/[a-n]* -- tests/unit/[o-z]*

test-stacks: system
	@echo "check: tests of the templates (one dot per test)"
	@PATH="$(CURDIR)/.venv/bin:$$PATH" pytest tests/stacks

# The hosts boot while the last of the other tests still run.
test-stacks-and-hosts: test-stacks
	@$(MAKE) --no-print-directory test-hosts

# The short form of `make hosts`, where the base tree exists and machines can boot; elsewhere a line says why not.
test-hosts: system
	@if .venv/bin/python -m testbed.machines; then PATH="$(CURDIR)/.venv/bin:$$PATH" pytest tests/hosts/test_booted_hosts.py::TestDayOne; fi

test-convert:
	@python3 -m venv --clear .convert
	@.convert/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-convert.txt
	@.convert/bin/pytest -rs tests/unit/cli/test_rule_convert.py

test-long: system
	@PATH="$(CURDIR)/.venv/bin:$$PATH" pytest -rs -m long -o faulthandler_timeout=7200 tests/unit tests/integration tests/faults tests/hosts
	@PATH="$(CURDIR)/.venv/bin:$$PATH" pytest -m hypothesis --hypothesis-profile=long -o faulthandler_timeout=7200 tests/unit

hosts: system
	@PATH="$(CURDIR)/.venv/bin:$$PATH" pytest -rs tests/hosts

faults: system
	@PATH="$(CURDIR)/.venv/bin:$$PATH" python -m testbed.faults $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(WRITE),--write) $(if $(LIVE),--live)

demo: system
	@.venv/bin/python -m demo

bench: system
	@$(if $(PEERS),tools/peers)
	@.venv/bin/python -m bench $(if $(PEERS),--peers)

# Debian 12 and Ubuntu 24.04 have Node 18, which is sufficient; jsii warns about its age at every start.
synth: export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION = $(firstword $(subst ., ,$(patsubst v%,%,$(shell node --version 2>/dev/null))))
synth: system node_modules
	@rm -rf cdk.out # an old validation report there would fail the run
	@npx --no-install cdk synth --quiet $(if $(STRICT),--strict)

node-package: setup
	@.venv/bin/python -m stacks.node_package $(if $(ARCH),--architecture $(ARCH)) $(if $(PYTHON),--python $(PYTHON))

node_modules: package-lock.json .npmrc
	@command -v npm >/dev/null || { echo "synth: please install: apt-get install npm" >&2; exit 1; }
	@npm ci --silent
	@touch node_modules

# Regenerates requirements*.txt from requirements*.in; needs uv on PATH.
requirements:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header requirements.in -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header requirements-dev.in -o requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-package vaultwatch --strip-extras --no-header requirements-convert.in -o requirements-convert.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header requirements-peers.in -o requirements-peers.txt
	sed -n 's/^dependencies = //p' pyproject.toml | tr -d '[]",' | tr ' ' '\n' | sed 's/[<>=].*//' >.wheels.in
	sed -n 's/^\([a-z0-9.-]*==[^ ]*\).*/\1/p' requirements.txt >.wheels.pins
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header --no-annotate -c .wheels.pins .wheels.in -o requirements-command.txt
	uv pip compile --quiet --universal --python-version 3.11 --format pylock.toml -c .wheels.pins .wheels.in -o pylock.wheels.toml
	python3 tools/wheels.py pylock.wheels.toml >tests/data/wheels.txt
	rm .wheels.in .wheels.pins pylock.wheels.toml
	cd lambdas && for name in requirements requirements-sign; do uv pip compile --quiet --no-emit-package jmespath --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header $$name.in -o $$name.txt || exit; done
