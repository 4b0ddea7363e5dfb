"""One run of the simulator: its directory, its processes, and that none of them outlives it."""
