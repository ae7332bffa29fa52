"""The bundle of the functions: complete, reproducible, and never built with a rule that does not compile."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from stacks.bundling import ROOT, WITH_CERTIFICATES, BundleError, Target, build_bundle, digest, fetch_wheels
from vaultwatch.errors import RuleError

DEPLOYED = Target("3.14", "arm64")


@pytest.fixture(scope="session")
def running(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bundle(Target.running(), tmp_path_factory.mktemp("bundle") / "running", root=sources)


@pytest.fixture(scope="session")
def deployed(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bundle(DEPLOYED, tmp_path_factory.mktemp("bundle") / "deployed", root=sources)


@pytest.fixture
def own(sources: Path, tmp_path: Path) -> Path:
    """Sources that a test may change."""
    return shutil.copytree(sources, tmp_path / "own", symlinks=True)


def test_it_imports_only_from_itself_and_the_runtime(running: Path, tmp_path: Path) -> None:
    found = find_spec("jmespath")
    assert found
    assert found.origin
    (tmp_path / "jmespath").symlink_to(Path(found.origin).parent)
    code = f"import sys; sys.path[:0] = [{str(running)!r}, {str(tmp_path)!r}]\n"
    code += "import re2, msgspec, zstandard, aws_lambda_powertools\n"
    code += "import vaultwatch.detection.detector, vaultwatch.frames, vaultwatch.rules.pack as pack\n"
    code += "rules = pack.shipped_rules(); print(len(rules) > 0, zstandard.backend, pack.SHIPPED_PACK)"
    done = subprocess.run([sys.executable, "-B", "-S", "-I", "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "cext", str(running / "vaultwatch/rules/pack.json")]


def test_everything_but_machine_code_is_the_same_on_every_platform(running: Path, deployed: Path) -> None:
    here, there = _contents(running), _contents(deployed)

    machine_code = {name for name in here.keys() | there.keys() if name.endswith(".so")}
    assert machine_code
    assert {name: text for name, text in here.items() if name not in machine_code} == {
        name: text for name, text in there.items() if name not in machine_code
    }


def test_the_deployed_bundle_is_for_the_platform_of_the_functions(deployed: Path) -> None:
    libraries = list(deployed.rglob("*.so"))

    assert libraries
    assert all(path.name.endswith(".cpython-314-aarch64-linux-gnu.so") for path in libraries)
    assert all(path.read_bytes()[18:20] == b"\xb7\x00" for path in libraries)  # ELF's e_machine: AArch64


def test_two_bundles_of_the_same_sources_are_equal_in_content_time_and_mode(
    running: Path, sources: Path, tmp_path: Path
) -> None:
    again = build_bundle(Target.running(), tmp_path / "again", root=sources)

    assert _contents(again) == _contents(running)
    assert _times_and_modes(again) == _times_and_modes(running)
    assert len({seconds for seconds, _ in _times_and_modes(again).values()}) == 1


def test_the_digest_changes_with_a_byte_and_with_a_name(running: Path, tmp_path: Path) -> None:
    again = shutil.copytree(running, tmp_path / "again")
    found = {digest(again)}
    (again / "vaultwatch/errors.py").write_bytes(b"a" + (again / "vaultwatch/errors.py").read_bytes()[1:])
    found.add(digest(again))
    (again / "vaultwatch/errors.py").rename(again / "vaultwatch/error.py")
    found.add(digest(again))

    assert found > {digest(running)}
    assert len(found) == 3


def test_it_leaves_out_what_no_function_imports(running: Path) -> None:
    names = list(_contents(running))

    assert "vaultwatch/detection/__init__.py" in names
    assert not [
        name for name in names if name.startswith(("vaultwatch/cli", "vaultwatch/rules/compiling", "sigma", "bin/"))
    ]
    assert not [name for name in names if "__pycache__" in name or "/_cffi" in name or ".data/" in name]
    assert not {"vaultwatch/__main__.py", "boto3/__init__.py", "jmespath/__init__.py"} & set(names)


def test_only_the_bundle_of_sign_has_the_library_for_certificates(running: Path, sources: Path, tmp_path: Path) -> None:
    own = build_bundle(Target.running(), tmp_path / "sign", packages=WITH_CERTIFICATES, root=sources)
    code = f"import sys; sys.path.insert(0, {str(own)!r}); import cryptography.x509 as x; print(x.__file__)"
    done = subprocess.run([sys.executable, "-B", "-S", "-I", "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.startswith(str(own)), done.stderr
    assert not [name for name in _contents(running) if name.startswith(("cryptography", "cffi"))]


def test_building_it_compiles_the_rules(own: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "rules/server_sealed.yml", own / "rules/my_sealed.yml")
    (own / "rules/my_sealed.yml").write_text(
        (own / "rules/my_sealed.yml").read_text().replace("server_sealed", "my_sealed")
    )
    shutil.copytree(ROOT / "rules/fixtures/server_sealed", own / "rules/fixtures/my_sealed")

    pack = build_bundle(Target.running(), tmp_path / "bundle", root=own) / "vaultwatch/rules/pack.json"

    assert b'"name":"my_sealed"' in pack.read_bytes()


@pytest.mark.parametrize(
    ("name", "text"), [("broken.yml", "title: [\n"), ("broken.py", "from vaultwatch import nothing_of_this_name\n")]
)
def test_a_broken_rule_stops_the_build_with_one_line_that_names_it(
    own: Path, tmp_path: Path, name: str, text: str
) -> None:
    (own / "rules" / name).write_text(text)

    with pytest.raises(RuleError, match=name.replace(".", r"\.")) as caught:
        build_bundle(Target.running(), tmp_path / "bundle", root=own)

    assert "\n" not in str(caught.value)


def test_a_rule_without_fixtures_stops_the_build(own: Path, tmp_path: Path) -> None:
    shutil.rmtree(own / "rules/fixtures/server_sealed")

    with pytest.raises(RuleError, match=r"^server_sealed: no fixtures"):
        build_bundle(Target.running(), tmp_path / "bundle", root=own)


def test_a_package_that_is_not_the_pinned_one_is_refused(own: Path, tmp_path: Path) -> None:
    target, requirements = Target.running(), own / "lambdas/requirements.txt"
    folder = fetch_wheels(target, requirements, own / ".bundle/wheels")[0].parent
    mine = tmp_path / "wheels" / folder.name
    shutil.copytree(folder, mine)
    with next(mine.glob("msgspec*.whl")).open("ab") as wheel:
        wheel.write(b"?")

    with pytest.raises(BundleError, match=r"^msgspec.*: its hash is not in requirements\.txt"):
        fetch_wheels(target, requirements, mine.parent)


def test_a_package_that_cannot_be_downloaded_is_reported_in_one_line(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{tmp_path.as_uri()}/none-1.0-py3-none-any.whl --hash=sha256:{digest}\n")

    with pytest.raises(BundleError, match=r"^packages for Python 3\.14 on arm64: ERROR") as caught:
        fetch_wheels(DEPLOYED, requirements, tmp_path / "wheels")

    assert "\n" not in str(caught.value)
    assert list((tmp_path / "wheels").iterdir()) == []


def _contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _times_and_modes(folder: Path) -> dict[str, tuple[float, int]]:
    found = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*")}
    return {name: (stat.st_mtime, stat.st_mode) for name, stat in found.items()}
