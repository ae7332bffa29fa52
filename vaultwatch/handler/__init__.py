"""What every program() handler needs.

`run` is its life, from the check of its settings to the end of its input. `stdin` reads the input, `log` writes the
handler's own log, `lock` keeps a second process out, `checks` finds settings that cannot be used.
"""
