# Debian has syslog-ng and logrotate where an ordinary user's PATH does not look; .debian: see tools/setup.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin:$(CURDIR)/.debian/bin

.PHONY: help setup test test-system-python demo bench synth requirements

help:
	@echo "make setup  .venv and the Debian packages; the others do it by themselves"
	@echo "make test   every test and check; make test-system-python: the unit tests under /usr/bin/python3"
	@echo "make demo   a recorded Vault session through the real syslog-ng and a local AWS to alerts (MODE=watch: one machine)"
	@echo "make bench  what is measured, and against whom"
	@echo "make synth  the CloudFormation templates, into cdk.out"

setup:
	@tools/setup

test: setup
	@tools/check

test-system-python: setup
	@tools/check-system-python

demo: setup
	@.venv/bin/python -m demo

bench: setup
	@.venv/bin/python -m bench

# Debian 12 and Ubuntu 24.04 have Node 18, which does; jsii calls it old in eleven lines at every start.
synth: export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION = $(firstword $(subst ., ,$(patsubst v%,%,$(shell node --version 2>/dev/null))))
synth: setup node_modules
	@rm -rf cdk.out # an old validation report in it would fail the run
	@npx --no-install cdk synth --quiet

node_modules: package-lock.json .npmrc
	@command -v npm >/dev/null || { echo "synth: please install: apt-get install npm" >&2; exit 1; }
	@npm ci --silent
	@touch node_modules

# Writes requirements*.txt anew from requirements*.in; wants uv on PATH.
requirements:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header requirements.in -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header requirements-dev.in -o requirements-dev.txt
	cd lambdas && uv pip compile --quiet --no-emit-package jmespath --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header requirements.in -o requirements.txt
