"""Starts the bridge to Modbus devices."""

from launch import launch

launch("headgate.ModbusBridge", "headgate.roles.bridge", ["modbus"])
