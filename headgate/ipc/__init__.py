"""A small asyncio client for Greengrass IPC, standard library only; `client.Client` has the operations."""
