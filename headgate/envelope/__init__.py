"""What goes to the cloud: envelopes of just under one metering unit. Pure; docs/wire.md is the contract."""
