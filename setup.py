"""Build the package with the files of the shipped rules in it; pyproject.toml says everything else."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.errors import OptionError


class _BuildWithRules(build_py):
    """Builds from an empty folder, and adds `rules/` as `vaultwatch/rules/sigma/`: the command finds them there.

    Setuptools leaves `build/` behind. What an older version left there would be in the package: modules and rules that
    are removed.
    """

    def run(self) -> None:
        """See `build_py`."""
        built = Path(self.build_lib, "vaultwatch")
        if not self.editable_mode:
            if built.resolve() == Path("vaultwatch").resolve():
                raise OptionError(f"--build-lib {self.build_lib} is the folder of the sources")
            shutil.rmtree(built, ignore_errors=True)
        super().run()
        if not self.editable_mode:  # which leaves everything where it is
            target = built / "rules" / "sigma"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree("rules", target, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": _BuildWithRules})
