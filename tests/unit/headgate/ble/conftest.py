"""Comparisons with the packages of others are run where these are installed (requirements/crosscheck.txt)."""

from __future__ import annotations

import importlib.util

collect_ignore = (
    [] if importlib.util.find_spec("bthome_ble") else ["test_ble_crosscheck.py", "test_ble_brand_packages.py"]
)
