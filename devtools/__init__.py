"""What `./dev` runs: build, check, test, benchmarks. Nothing here reaches a gateway."""
