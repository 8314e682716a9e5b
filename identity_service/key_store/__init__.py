"""Storage of the key ring: one row per key, encrypted under a key derived from the master key."""
