"""Local topics: what other components of the gateway may read of its series. Pure; knows no bus, no store."""
