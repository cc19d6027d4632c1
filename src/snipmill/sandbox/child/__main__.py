"""Started as `python -I PATH/TO/THIS/FOLDER DESCRIPTOR SETTINGS` by a Python that need not have snipmill installed."""

import sys
from pathlib import Path

package_parent = str(Path(__file__).resolve().parents[3])
sys.path[0] = package_parent

from snipmill.sandbox.child.server import main  # noqa: E402

sys.path.remove(package_parent)
main()
