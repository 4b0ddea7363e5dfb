"""The checker: compares what arrived in the cloud with what the devices served."""
