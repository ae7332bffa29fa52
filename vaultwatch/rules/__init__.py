"""Detection rules: Sigma rules are compiled to typed conditions, and conditions to predicates and an index.

Only `compiling` uses pySigma, and no code that evaluates records imports it.
"""
