"""`vaultwatch watch`: a program() handler that evaluates on the log server itself and tells people.

`options` says what may be set, `handler` reads, evaluates and keeps, `journal` holds what waits for its response.
"""
