"""How any bridge hands frames to the hub: batches kept until acknowledged, their tables, a spill file."""
