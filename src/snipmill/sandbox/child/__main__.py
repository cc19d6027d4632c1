"""Started as `python PATH/TO/THIS/FILE DESCRIPTOR` by a Python that need not have snipmill installed."""

import os.path
import sys

package_parent = os.path.realpath(__file__)
for _ in range(4):
    package_parent = os.path.dirname(package_parent)
sys.path[0] = package_parent

from snipmill.sandbox.child.at_fork import AtFork  # noqa: E402

at_fork = AtFork()
at_fork.collect()

from snipmill.sandbox.child.server import main  # noqa: E402

sys.path.remove(package_parent)
main(at_fork)
