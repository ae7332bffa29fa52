"""What an archive is known to have had: from lists that were kept, and from the notes of `sweep`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from vaultwatch.archive.chain import Known, Segment
from vaultwatch.aws.keys import Fingerprint, Place, parse_seen, place_of, segment_start
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
    return merged(
        {place: frozenset([Fingerprint(segment.sha256, segment_start(segment.key))])}
        for segment in segments
        if (place := place_of(segment.key))
    )


def of_notes(keys: Iterable[str]) -> Known:
    """Return what the notes of `sweep` say, whose keys these are; other keys are left out."""
    return merged({parsed[0]: frozenset([parsed[1]])} for key in keys if (parsed := parse_seen(key)))


def merged(parts: Iterable[Known]) -> Known:
    """Return what several sources know."""
    known: dict[Place, frozenset[Fingerprint]] = defaultdict(frozenset)
    for part in parts:
        for place, fingerprints in part.items():
            known[place] |= fingerprints
    return dict(known)
