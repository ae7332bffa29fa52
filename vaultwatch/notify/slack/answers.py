"""Classify Slack's answers: accepted, retry later, repair the settings, or never accepted.

Sources: docs.slack.dev, the error tables of `chat.postMessage` and `chat.update`, "Handling errors" of incoming
webhooks, and "Rate limits". Errors that none of these lists are retried: a duplicate is better than a loss.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from vaultwatch.errors import DeliveryError, SinkBusy, SinkMisconfigured, SinkRefused
from vaultwatch.notify.slack.http import Answer

_DEFAULT_WAIT_SECONDS = 30.0
_MAX_WAIT_SECONDS = 3_600.0
_BUSY = {"ratelimited", "rate_limited", "message_limit_exceeded"}
_REFUSED = {
    # The payload; the webhook's errors and the Web API's.
    "invalid_payload", "no_text", "msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format",
    "block_mismatch", "invalid_arguments", "invalid_arg_name", "invalid_array_arg", "invalid_json", "json_not_object",
    "invalid_metadata_format", "metadata_too_large", "too_many_attachments", "attachment_payload_limit_exceeded",
    "markdown_text_conflict", "invalid_charset", "invalid_post_type", "missing_post_type",
    # The message that a reply or an update names.
    "message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed", "update_failed",
    "cannot_reply_to_message", "restricted_action_thread_locked", "restricted_action_non_threadable_channel",
}  # fmt: skip
_MISCONFIGURED = {
    # The webhook.
    "no_service", "no_service_id", "no_team", "team_disabled", "invalid_token", "no_active_hooks",
    "action_prohibited", "posting_to_general_channel_denied", "channel_is_archived", "user_not_found",
    # The Web API.
    "not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "no_permission",
    "missing_scope", "not_allowed_token_type", "access_denied", "accesslimited", "two_factor_setup_required",
    "ekm_access_denied", "team_access_not_granted", "enterprise_is_restricted", "org_login_required",
    "channel_not_found", "not_in_channel", "is_archived", "restricted_action", "restricted_action_read_only_channel",
    "restricted_action_thread_only_channel", "messages_tab_disabled", "unknown_method", "method_deprecated",
}  # fmt: skip
_REFUSED_STATUS = {400, 413}
_MISCONFIGURED_STATUS = {401, 403, 404, 410}
_REMEDIES = {
    "channel_not_found": "check the channel's name, and invite the app if the channel is private",
    "not_in_channel": "invite the app to the channel",
    "missing_scope": "the app needs the scope chat:write",
    "no_service": "the webhook was removed: create another one",
}


def check_webhook(answer: Answer) -> None:
    """Check that a webhook accepted the payload: with any 2xx status, unless its body says `"ok": false`.

    Slack answers `ok`; compatible endpoints answer `{"ok":true}`, 204, or with an empty body.

    Raises:
        DeliveryError: The payload was not accepted; the subclass says what to do.
    """
    if 200 <= answer.status < 300 and _json(answer.body).get("ok") is not False:
        return
    raise _failure(answer)


def check_api(answer: Answer) -> dict[str, Any]:
    """Check that the Web API, which answers 200 to refused calls too, accepted a call, and return its JSON.

    Raises:
        DeliveryError: The call was not accepted; the subclass says what to do.
    """
    found = _json(answer.body)
    if 200 <= answer.status < 300 and found.get("ok") is True:
        return found
    raise _failure(answer)


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _failure(answer: Answer) -> DeliveryError:
    word = _error_word(answer.body)
    named = word or ("an answer that is not Slack's" if answer.status < 300 else "")
    text = " ".join(part for part in (f"Slack answered {answer.status}", named) if part)
    if word in _REMEDIES:
        text += f" ({_REMEDIES[word]})"
    if answer.status == 429 or word in _BUSY:
        return SinkBusy(text, _seconds(answer.retry_after))
    if word in _MISCONFIGURED or answer.status in _MISCONFIGURED_STATUS:
        return SinkMisconfigured(text)
    if word in _REFUSED or answer.status in _REFUSED_STATUS:
        return SinkRefused(text)
    return DeliveryError(text)


def _error_word(body: bytes) -> str:
    """Return the error in an answer's JSON, or the single word of its text; "" if it has neither."""
    word = str(_json(body).get("error", "")) or body.decode("ascii", "replace").strip()
    return word if re.fullmatch("[a-z_]{1,64}", word) else ""


def _seconds(retry_after: str) -> float:
    seconds = float(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else _DEFAULT_WAIT_SECONDS
    return min(max(seconds, 1.0), _MAX_WAIT_SECONDS)
