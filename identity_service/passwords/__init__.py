"""Passwords: set only by proving the mailbox, and checked at the same cost for known and unknown accounts.

An account without a password has no row, and no password matches. New hashes are argon2id with the parameters of OWASP.
An attempt is counted and committed before it is checked, so that concurrent guesses cannot exceed the limit. Delays
grow up to an hour, but a stranger cannot lock an account: after a hundred failures in a row only the password is
locked, until a reset. An unknown address takes the same statements, hashing and time as a known one.

`legacy_hashes.py` reads hashes as other systems write them, `legacy_schemes.py` verifies what was stored of them.
`dummies.py` chooses what is verified for an address without a password.
"""
