"""Groups of commands: what does not exist is answered with the nearest name, in one style."""

from __future__ import annotations

import click

from vaultwatch.errors import did_you_mean


class Group(click.Group):
    """A group of commands."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See `click.Group`."""
        names = self.list_commands(ctx)
        if cmd_name not in names and not ctx.resilient_parsing:  # as in shell completion
            ctx.fail(f"no such command `{cmd_name}`{did_you_mean(cmd_name, names)}")
        return super().get_command(ctx, cmd_name)


def text_of(error: click.ClickException) -> str:
    """Return what to say of an error of usage."""
    if isinstance(error, click.NoSuchOption):
        return f"no such option `{error.option_name}`{did_you_mean(error.option_name, error.possibilities or ())}"
    return error.format_message()
