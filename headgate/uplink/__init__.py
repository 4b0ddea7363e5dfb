"""The uplink: what waits in the outbox goes to the cloud, paced, until the cloud says that it holds it."""
