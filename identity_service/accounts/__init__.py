"""Accounts: what we know of one customer, under one User ID, for life.

An account needs an email address or nothing at all, so that a caller who gives nothing can be helped. There is at most
one account per mailbox (unique key), and one per external reference and source. A User ID is issued once, never
changed and never reused; a merged account keeps pointing to the account that replaced it. The kind is a column:
becoming a business changes it and nothing else. Marketing is `never` until the customer grants it.

`ownership` and `references` read and write what several concepts need of addresses, merges and external references;
`erasure` makes tombstones.
"""
