"""Starts the hub: store, windows, uplink."""

from launch import launch

launch("headgate.Hub", "headgate.roles.hub")
