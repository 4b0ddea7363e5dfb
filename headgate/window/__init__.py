"""Windows: what a stretch of time of a series amounts to. Pure; knows no clock, no store."""
