"""`vaultwatch watch`: the program() handler that evaluates on the log server itself and notifies people.

handler        implements `vaultwatch.handler.run.Handler`
options        the command's options, and the files and sinks that they define
slack_options  the Slack options: a webhook, or a bot token and a channel
checks         finds unusable settings before the input is read
trial          sends a test notification
evaluation     evaluates lines, and gathers and stores the alerts
recording      stores alerts, with retries without a limit
journal        keeps alerts that wait, for a response or for others, on disk
metrics        the metrics of `--metrics FILE`
files          writes figures and rejected lines to files
"""
