"""One-time tokens: a secret in a message proves that its reader controls the mailbox. The same code for every purpose.

token          purpose, public handle and random nonce of one secret; requested → opened → used
tracking link  the handle of the page that shows the message's timeline; several people may follow one message

The link's secret and the code to type are derived from a key of the key ring and the row's nonce and never stored: a
stolen table is useless without the key, and a stolen key without the table. Purpose and label are inputs of the
derivation, so a secret works for nothing else. Opening a link changes nothing; one conditional UPDATE consumes it.
Tokens are not revoked row by row: one requested before the account's `tokens_valid_after` is invalid when checked.
"""
