"""Run the command line as `python -m jaxicm.cli`."""

import sys

from jaxicm.cli.main import main

sys.exit(main())
