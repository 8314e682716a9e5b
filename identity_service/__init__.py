"""Customer identities: a User ID in one second, no marketing by promise, and mail that is never lost.

The folder is the noun of the URL, the file is the role (`docs/glossary.md`):

accounts/ registration/ verification/ addresses/ business/ merges/ history/    a customer's record and its changes
consents/                                        the ledger, permissions, wordings and receipts
openid/                                          customers' sign-in at applications: requests, grants, tokens, logout
passwords/ passkeys/ second_factors/ phone_numbers/ recovery_codes/ recovery/ credentials/ sign_in/ resets/
one_time_tokens/                                 proofs, credentials, sessions
portal/ privacy/ imports/                        the pages below `/me`; export and erasure; accounts of other systems
contacts/ account_access/ approvals/ console/    conversations, staff access to accounts, second persons, staff pages
messages/                                        the outbox: every message with its attempts, replies and bounces
events/ audit/                                   the feed that other services read, sealed into a chain; checkpoints
clients/                                         the services and desk tools that call us, their tokens and scopes
brand_records/                                   proofs of brands in DNS, and the words that were in use
brands/                                          names, logos, colours, senders and words of pages and emails
web/ database/ keys/ key_store/ values/          HTTP, transactions, cryptography, the key ring, pure values
cli/ dev/                                        commands; a database and mailbox for development, never in production

`app.py`, `worker.py` and `cli/` are the three entry points.
"""

__version__ = "0.1.0"
