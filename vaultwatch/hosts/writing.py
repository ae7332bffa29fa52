"""Write the files of a host: each whole or not at all, and only if it differs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from vaultwatch.hosts.files import HostFile, contents, host_files


def write_files(values: Mapping[str, str], assets: Path, root: Path = Path("/"), *, own: bool = True) -> list[str]:
    """Write all files of a host.

    All are rendered before the first is written: a value that cannot be used changes nothing.

    Args:
        values: The values of host.json.
        assets: The folder with the assets.
        root: The root of the host's file system.
        own: Whether to give each file its owner, who then must exist.

    Returns:
        The paths on the host of the files that were new or different.

    Raises:
        SettingError: If a value is missing, unknown or cannot be used.
    """
    rendered = [(file, contents(file, values, assets)) for file in host_files(values)]
    return [file.path for file, text in rendered if _write(file, text, root, own=own)]


def _write(file: HostFile, text: str, root: Path, *, own: bool) -> bool:
    path = root / file.path.lstrip("/")
    changed = not path.exists() or path.read_text("utf-8") != text
    if changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.touch(mode=0o600)
        new.write_text(text, "utf-8")
        _give(new, file, own=own)
        new.replace(path)
    else:
        _give(path, file, own=own)
    return changed


def _give(path: Path, file: HostFile, *, own: bool) -> None:
    if own:
        shutil.chown(path, *file.owner.split(":"))
    path.chmod(file.mode)
