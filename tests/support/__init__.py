"""Helpers shared by tests: certificates, a broker, a nucleus."""
