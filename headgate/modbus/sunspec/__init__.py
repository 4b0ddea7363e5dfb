"""SunSpec: devices that say themselves which registers they have (SunSpec Device Information Model 1.1)."""
