"""A stand-in for the Greengrass nucleus, classic and lite, as components see it."""
