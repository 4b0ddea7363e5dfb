"""What the cloud asks of this gateway: requests by two carriers, carried out once, answered, audited."""
