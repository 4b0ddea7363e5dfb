"""Benchmarks, each a module with `main(argv)`; `./dev bench NAME` runs one. `form` is what they share."""
