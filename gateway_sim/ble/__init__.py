"""The simulated radio: BLE sensors that follow a physical story, behind a fake `org.bluez` on a bus."""
