"""Starts every role in one process."""

from launch import launch

launch("headgate.AllInOne", "headgate.roles.all_in_one")
