"""`python -m headgate.modbus scan | read | identify | dump`: what a technician does at the cabinet."""

from __future__ import annotations

import sys

from headgate.modbus.commissioning.cli import main

if __name__ == "__main__":
    sys.exit(main())
