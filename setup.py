"""What pyproject.toml has no word for: the udp backend's C is compiled when the package is built."""

import subprocess

from setuptools import setup
from setuptools.command.build_py import build_py


class Build(build_py):
    """Compiles the fast path and the core where there is a compiler; otherwise the package goes without."""

    def run(self) -> None:
        """See `Build`."""
        for program in ("tools/fast-path", "tools/core"):
            subprocess.run([program], check=True)
        super().run()


setup(cmdclass={"build_py": Build})
