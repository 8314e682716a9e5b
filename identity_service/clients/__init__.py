"""Clients: the internal services and desk tools that call us, authenticated by OAuth 2.0 client credentials only.

A client authenticates by a random secret (stored as SHA-256, two valid during rotation) or by a signed assertion
(`private_key_jwt`). Its access token is valid for ten minutes, for our audience, with scopes granted to it; requesting
another scope is an error, never a silent narrowing. Tokens are verified without the database. The tokens of a closed
client and revoked tokens are refused by every process within ten seconds.
"""
