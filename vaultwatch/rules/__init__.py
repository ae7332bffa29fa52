"""Detection rules: Sigma compiled to typed conditions, conditions to predicates and an index.

Only `compiling` uses pySigma, and nothing that runs on records imports it.
"""
