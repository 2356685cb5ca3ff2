"""Runs the command line: `python -m homezoo run MODEL PROMPT` is `homezoo run MODEL PROMPT`."""

import sys

from homezoo.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
