"""What an archive is known to have had: from lists that were kept, and from the notes of `sweep`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from vaultwatch.archive.chain import Known, Segment
from vaultwatch.aws.keys import Place, place_of
from vaultwatch.errors import SettingError


def of_manifest(path: Path) -> Known:
    """Return what a list of segments says, in the form of `vaultwatch archive list --format json`.

    Raises:
        SettingError: The file cannot be read, or is no such list.
    """
    try:
        segments = msgspec.json.Decoder(Segment).decode_lines(path.read_bytes())
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise SettingError(f"{path}: not a list of segments: {error}") from error
    return merged({place: frozenset([segment.sha256])} for segment in segments if (place := place_of(segment.key)))


def merged(parts: Iterable[Known]) -> Known:
    """Return what several sources know."""
    known: dict[Place, frozenset[str]] = defaultdict(frozenset)
    for part in parts:
        for place, digests in part.items():
            known[place] |= digests
    return dict(known)
