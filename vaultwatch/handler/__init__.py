"""The parts that every program() handler shares.

`run` takes a handler from the check of its settings to the end of its input. `stdin` reads the input, `log` writes the
handler's own log, `lock` excludes a second process, `checks` finds unusable settings,
`counters` counts lines by their origin, and `metrics_file` writes metrics for Prometheus.
"""
