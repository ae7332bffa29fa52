"""Benchmarks of Vaultwatch, each against a reference: `python -m bench`."""
