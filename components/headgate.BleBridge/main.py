"""Starts the bridge to BLE devices."""

from launch import launch

launch("headgate.BleBridge", "headgate.roles.bridge", ["ble"])
