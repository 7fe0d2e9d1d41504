"""``python -m CardiacSegLib.cli``: the command where no script of it is installed."""

import sys

from CardiacSegLib.cli import main

sys.exit(main())
