"""The simulated plant: Modbus devices that follow a physical story and record what they serve."""
