"""An S3 that enforces: signatures, expiry, signed headers and checksums, with the bodies in files on disk."""
