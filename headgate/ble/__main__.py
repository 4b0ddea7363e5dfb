"""`python -m headgate.ble scan | explore`: what is in the air, and what a device offers."""

from __future__ import annotations

import sys

from headgate.ble.commissioning.cli import main

if __name__ == "__main__":
    sys.exit(main())
