"""Customer identities: a User ID in one second, no marketing by promise, and mail that is never lost.

accounts/  what we know of one customer under one User ID: kind, state, address, references
console/   what a desk needs while a caller waits; staff and their second factors
contacts/  conversations handed from desk to desk, and the check of a caller
consents/  what a customer has allowed: the ledger, the receipts, who may be marketed to
passwords/ judged, hashed, and checked at one price for everybody
proofs/    a secret in a letter shows that somebody reads a mailbox
resets/    a new password, or the first one, by proving the mailbox
signin/    a customer's sessions, by password or mailed code
history/   what other services say happened to a customer
events/    what happened here: the feed other services read, sealed into a chain
clients/   the internal services and desk tools that call us, their tokens and scopes
mail/      the outbox: every letter is a row with a history of tries, replies and bounces
life/      the verbs that cross concepts, from registering to erasing
commands/  commands that stand in files of their own
embedded/  PostgreSQL and a mailbox for `make run` and the tests; never imported in production

user_ids, email_addresses and tokens are pure; cli, app and worker are the three ways in.
"""

__version__ = "0.1.0"
