"""Faults that can be switched on and off while everything runs."""
