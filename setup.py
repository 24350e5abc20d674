"""The manual page, and nothing else: it is made from the parser and carried to share/man/man1.

Everything else about the package stands in pyproject.toml. The page is made before each build from the parser
in this tree, which imports the standard library alone, so an isolated build needs argparse-manpage only.
"""

import sys
from pathlib import Path

from setuptools import setup

# A build front end runs this file from elsewhere, and a perfcore may be installed already: this one counts.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from build_manpages import build_manpages, get_build_py_cmd

setup(
    cmdclass={"build_manpages": build_manpages, "build_py": get_build_py_cmd()},
    data_files=[("share/man/man1", ["perfcore.1"])],
)
