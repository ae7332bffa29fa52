"""Every error that Vaultwatch raises on purpose.

    VaultwatchError
    ├── SettingError      a setting, an option or a file that the user named cannot be used
    ├── RuleError         a rule, a filter or a placeholder cannot be compiled, or has no fixtures
    │   └── RuleErrors    several of them
    ├── FrameError        one Kinesis record cannot be read or decoded
    ├── StoreError        the store failed and has changed nothing (`vaultwatch.store`)
    │   └── StoreRefused  it would fail again: it refuses what it was given
    ├── ArchiveError      an archived segment cannot be read
    ├── BucketError       S3 failed to read or to store something, and will be asked again
    ├── BootstrapError    a fresh cluster cannot be set up further (`vaultwatch.hosts.bootstrap`)
    ├── CertificateError  a certificate cannot be used, or was not issued
    │   └── RequestRefused  the authority refuses a request: it is malformed, or does not come from a host
    ├── SnapshotError     a snapshot of a cluster was not taken, is damaged or was not stored
    ├── InstallError      a step of setting up a host failed, and will be tried again (`vaultwatch.hosts.install`)
    ├── ChildEnded        a child process did not finish its work (`vaultwatch.isolation`)
    └── DeliveryError     a sink did not accept a notification; it is sent again
        ├── SinkBusy      it asked us to wait (HTTP 429); `retry_after_seconds` says how long
        ├── SinkMisconfigured  it accepts nothing until its credentials, channel or address are repaired
        └── SinkRefused   it will never accept this notification as it is

The text of an error is one line for a person: what is wrong, and where. It never contains a secret.
"""

from collections.abc import Iterable, Sequence

BOTO3_MISSING = "boto3 is not installed: install Vaultwatch with its extra `aws`"
"""The error of a setting that needs AWS, if only the base package is installed."""


_SIMILAR = 0.6
"""From which ratio `difflib` calls two texts similar."""


class VaultwatchError(Exception):
    """The base class of all errors whose text is meant for a user."""


class SettingError(VaultwatchError):
    """A setting, an option or a file that the user named cannot be used."""


class RuleError(VaultwatchError):
    """A rule, a filter or a placeholder cannot be compiled, or has no fixtures.

    Attributes:
        about: The key or value of the file that is wrong, by which its line is found; "" if it is not a single one.
    """

    def __init__(self, message: str, about: str = "") -> None:
        super().__init__(message)
        self.about = about


class RuleErrors(RuleError):
    """Several files of rules cannot be compiled.

    Attributes:
        errors: An error for each of them, in the order in which they were read.
    """

    def __init__(self, errors: Sequence[RuleError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = tuple(errors)


class FrameError(VaultwatchError):
    """One Kinesis record cannot be read or decoded."""


class ArchiveError(VaultwatchError):
    """An archived segment cannot be read."""


class BucketError(VaultwatchError):
    """S3 failed to read or to store something, and will be asked again."""


class BootstrapError(VaultwatchError):
    """A fresh cluster cannot be set up further; running the bootstrap again goes on where it ended."""


class CertificateError(VaultwatchError):
    """A certificate cannot be used, or was not issued."""


class RequestRefused(CertificateError):
    """The authority refuses a request: it is malformed, or does not come from a host of this deployment."""


class SnapshotError(VaultwatchError):
    """A snapshot of a cluster was not taken, is damaged or was not stored."""


class InstallError(VaultwatchError):
    """A step of setting up a host failed; it will be tried again."""


class ChildEnded(VaultwatchError):
    """A child process did not finish its work.

    Attributes:
        reason: Why, for a person.
        mark: The last mark that it set: how far its work was.
    """

    def __init__(self, reason: str, mark: int) -> None:
        super().__init__(f"a child process did not finish its work: {reason}")
        self.reason = reason
        self.mark = mark


class DeliveryError(VaultwatchError):
    """A sink did not accept a notification; it is sent again later."""


class SinkBusy(DeliveryError):
    """The sink asked us to wait."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class SinkMisconfigured(DeliveryError):
    """The sink accepts nothing until a person has repaired its credentials, channel or address."""


class SinkRefused(DeliveryError):
    """The sink will never accept this notification as it is."""


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: ``; did you mean `slack`?``, or "" if no name is similar.

    A dotted name that ends in the word is preferred; of several, the shortest. What many names begin with, such as
    `audit_`, makes none of them similar.
    """
    import difflib  # imported here: most runs never need it

    known = sorted(names, key=lambda name: (len(name), name))
    near = [name for name in known if name.endswith(f".{word}")] or [
        name for name in difflib.get_close_matches(word, known) if _is_near(word, name)
    ]
    return f"; did you mean `{near[0]}`?" if near else ""


def _is_near(word: str, name: str) -> bool:
    """Return whether two names are similar behind the word that both begin with."""
    import difflib

    own, other = word.partition("_"), name.partition("_")
    has_same = own[0] == other[0] and own[2] != "" and other[2] != ""
    return not has_same or difflib.SequenceMatcher(None, own[2], other[2]).ratio() >= _SIMILAR
