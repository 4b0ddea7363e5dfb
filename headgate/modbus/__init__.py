"""Modbus: configuration, register codec, read planner, schedule and driver; pymodbus carries the protocol."""
