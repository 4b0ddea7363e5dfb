"""What devices say, as tables and pure functions: bytes in, raw integers out. A format is one file here."""
