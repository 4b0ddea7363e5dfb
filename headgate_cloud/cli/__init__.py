"""The operator's command line: reads, history, files and jobs of gateways, from AWS or a simulated cloud."""
