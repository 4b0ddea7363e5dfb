"""The simulated cloud: a broker with mutual TLS, rules, queue, tables, and the shipped handler unchanged."""
