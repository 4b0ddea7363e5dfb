"""The gateway runtime: bridges, hub and what they share."""
