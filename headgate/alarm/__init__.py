"""Alarms: what is to be told at once of a series. Pure; knows no clock, no store."""
