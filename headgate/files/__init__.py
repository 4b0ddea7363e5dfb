"""Files of configured folders: found, announced, and sent in parts when the cloud asks (docs/requests.md)."""
