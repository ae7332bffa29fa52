"""Detection rules: compiled from Sigma into plain data, plain data into predicates and an index.

`compiling` is the one module that knows pySigma, and nothing that runs on records imports it.
"""
