"""Stand-ins for the nucleus, the plant and the cloud; imports nothing of headgate."""
