"""Reading configuration: typed, whole, and with every fault named at once."""
