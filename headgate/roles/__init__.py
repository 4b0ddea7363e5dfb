"""Roles: what runs as a process; the only rooms that choose a bus and install signal handlers."""
