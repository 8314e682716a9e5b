"""What this machine can do at all."""

import platform
import sys

ATHERIS = sys.platform == "linux" and platform.machine() == "x86_64" and (3, 11) <= sys.version_info[:2] <= (3, 13)
"""Where atheris has a wheel; elsewhere it would have to be built with clang."""

collect_ignore = [] if ATHERIS else ["test_fuzz.py"]
