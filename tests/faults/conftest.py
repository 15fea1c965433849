"""The suites need signals, limits and forks as Unix has them."""

import sys

collect_ignore = ["test_faults.py", "test_hostile.py"] if sys.platform == "win32" else []
