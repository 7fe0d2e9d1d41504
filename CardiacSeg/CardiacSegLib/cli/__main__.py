"""``python -m CardiacSegLib.cli``: the command where no script of it is installed."""

import sys

from CardiacSegLib.cli import main
from CardiacSegLib.jobs.privacy import keep_home_out_of_logs

keep_home_out_of_logs()  # what a process prints that a panel started stands in a log
sys.exit(main())
