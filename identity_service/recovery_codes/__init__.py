"""Recovery codes of customers: a printed secret of which each works once and is replaced at use.

The code has a locator, by which it is found, and a secret of 72 bits, of which argon2id is stored. Only who knows the
locator can use up tries of an account, so that strangers lock nobody out (REC-22). What the code opens is in
`recovery`; this package makes, checks and ends codes.
"""
