"""Proofs: a secret in a letter shows that somebody reads a mailbox. One machine for every purpose.

proof      one letter that proves something: its purpose, a public handle, a random nonce; asked → opened → used
tracking   how the one who asked reaches the page that shows the letter's way; several people may follow one letter

The link's secret and the code to type are derived from a key of the ring and the row's nonce, never stored: a stolen
table opens nothing without the key, a stolen key nothing without the table. Purpose and label are part of what is
derived, so no secret is good for anything else. Opening a link changes nothing; one conditional UPDATE uses it up.
Nothing is killed: a proof older than the account's `proofs_valid_after` is dead when it is read.
"""
