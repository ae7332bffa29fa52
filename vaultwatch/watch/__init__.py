"""`vaultwatch watch`: the program() handler that evaluates on the log server itself and notifies people.

handler        what `watch` adds to the life of a handler (`vaultwatch.handler.run`)
options        its options, and the files and sinks that follow from them
slack_options  the Slack options: a webhook, or a bot token and a channel
checks         settings that cannot be used, found before the input is read
evaluation     lines -> alerts
recording      alerts -> the store, however long it takes
journal        alerts that wait for the response to their request, on disk
files          figures and rejected lines, for people to look at
"""
