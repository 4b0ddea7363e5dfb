"""How the parts of a gateway talk: one protocol, an in-memory bus and a Greengrass bus."""
