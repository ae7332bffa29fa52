# Debian has syslog-ng and logrotate where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help setup test demo bench requirements

help:
	@echo "make test   every test and check"
	@echo "make demo   a recorded Vault session through the real syslog-ng to alerts"
	@echo "make bench  what is measured, and against whom"

setup:
	@tools/setup

test: setup
	@tools/check

demo: setup
	@.venv/bin/python -m demo

bench: setup
	@.venv/bin/python -m bench

# Writes requirements*.txt anew from requirements*.in; wants uv on PATH.
requirements:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header requirements.in -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --strip-extras --no-header requirements-dev.in -o requirements-dev.txt
