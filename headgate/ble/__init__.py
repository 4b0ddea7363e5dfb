"""The BLE driver: one scanner per adapter, decoders as tables, GATT reads in short sessions."""
