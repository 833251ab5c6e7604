"""The one step that pyproject.toml has no word for: the fast path is compiled when the package is built."""

import subprocess

from setuptools import setup
from setuptools.command.build_py import build_py


class Build(build_py):
    """Compiles it where there is clang; otherwise the package goes without."""

    def run(self) -> None:
        """See `Build`."""
        subprocess.run(["tools/fast-path"], check=True)
        super().run()


setup(cmdclass={"build_py": Build})
