"""Starts the courier."""

from launch import launch

launch("headgate.FileCourier", "headgate.roles.courier")
