"""`vaultwatch watch`: the program() handler that evaluates on the log server itself and notifies people.

handler     what `watch` adds to the life of a handler (`vaultwatch.handler.run`)
options     its options, checked before the input is read
evaluation  lines -> alerts
recording   alerts -> the store, however long it takes
journal     alerts that wait for the response to their request, on disk
files       figures and rejected lines, for people to look at
"""
