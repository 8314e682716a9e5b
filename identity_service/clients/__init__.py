"""Clients: the internal services and desk tools that call us, by OAuth 2.0 client credentials and nothing else.

A client proves itself by a random secret (kept as SHA-256, two valid during rotation) or by a signed assertion
(`private_key_jwt`). It gets an access token for ten minutes, bound to our audience, with scopes it was granted; asking
for more is an error, never a silent narrowing. Tokens are checked without the database. A closed client or a revoked
token is dead in every process within ten seconds.
"""
