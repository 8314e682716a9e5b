"""Cryptography without storage: the opened key ring, signatures, keyed hashes, encodings. Pure."""
