"""The Slack options of `vaultwatch watch`: a webhook, or a bot token and a channel. Secrets are read from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vaultwatch.audience import Audience
from vaultwatch.errors import SettingError
from vaultwatch.notify.slack.bot import API_URL, SlackBot, checked_channel, checked_token
from vaultwatch.notify.slack.webhook import SlackWebhook
from vaultwatch.rules.facts import Level
from vaultwatch.store.sqlite_threads import SqliteThreads
from vaultwatch.watch.secret_files import naming, one_word, secret_in

WEBHOOK_VARIABLE = "VAULTWATCH_SLACK_WEBHOOK_URL"
API_URL_VARIABLE = "VAULTWATCH_SLACK_API_URL"
"""The variable with the base URL of the Web API, if it differs, as for GovSlack."""


@dataclass(frozen=True)
class SlackOptions:
    """`--slack-webhook-file` or its variable, or `--slack-token-file` with `--slack-channel`."""

    webhook_file: Path | None
    token_file: Path | None
    channel: str
    environment: Mapping[str, str]

    @property
    def is_given(self) -> bool:
        """Whether any Slack option is set."""
        given = (self.webhook_file, self.token_file, self.channel, self.environment.get(WEBHOOK_VARIABLE))
        return any(given)

    def sink(
        self, threads: Path, minimum_level: Level, interval_seconds: float, audience: Audience
    ) -> SlackWebhook | SlackBot | None:
        """Return the sink, or None if no Slack option is set.

        Args:
            threads: The file in which a bot stores its messages.
            minimum_level: The lowest level that it sends.
            interval_seconds: The least time between two calls.
            audience: Whom it is for.

        Raises:
            SettingError: A setting cannot be used; the error names it.
        """
        if self.token_file is None and not self.channel:
            return self._webhook(minimum_level, interval_seconds, audience)
        if self.token_file is None:
            raise SettingError("--slack-channel: needs --slack-token-file as well")
        if not self.channel:
            raise SettingError("--slack-token-file: needs --slack-channel as well")
        if self.webhook_file is not None:
            raise SettingError("--slack-token-file: cannot be used together with --slack-webhook-file")
        return self._bot(self.token_file, threads, minimum_level, interval_seconds, audience)

    def _bot(
        self, token_file: Path, threads: Path, minimum_level: Level, interval_seconds: float, audience: Audience
    ) -> SlackBot:
        origin = f"--slack-token-file: {token_file}"
        with naming(origin):
            token = checked_token(secret_in(token_file, "token"))
        with naming("--slack-channel"):
            channel = checked_channel(self.channel)
        return SlackBot(
            token,
            channel,
            SqliteThreads(threads),
            minimum_level=minimum_level,
            interval_seconds=interval_seconds,
            api_url=self.environment.get(API_URL_VARIABLE) or API_URL,
            audience=audience,
        )

    def _webhook(self, minimum_level: Level, interval_seconds: float, audience: Audience) -> SlackWebhook | None:
        with naming(f"--slack-webhook-file: {self.webhook_file}" if self.webhook_file else WEBHOOK_VARIABLE):
            if self.webhook_file is None:
                url = one_word(self.environment.get(WEBHOOK_VARIABLE, ""), "URL")
            else:
                url = secret_in(self.webhook_file, "URL")
            if not url:
                return None
            return SlackWebhook(url, minimum_level=minimum_level, interval_seconds=interval_seconds, audience=audience)
