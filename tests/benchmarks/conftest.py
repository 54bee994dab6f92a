"""benchmarks is not installed: it is found beside the tests, after what is."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
