"""Passwords: set by proving the mailbox and in no other way; checked at one price for everybody.

An account without a password has none, and nothing verifies against it. Only argon2id stands in the table, in the
parameters OWASP names. A try is counted and committed before it is checked, so a burst of guesses buys no more than
the limit; delays grow, but nobody is locked out by a stranger, and after a hundred failures in a row it is the
password that dies, not the account. An unknown address costs the same counting, hashing and time as a known one.
"""
