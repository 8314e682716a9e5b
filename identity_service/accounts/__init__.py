"""Accounts: what we know of one customer, under one User ID, for life.

An account exists by an e-mail address alone, or by nothing at all, so that a caller who gives nothing can be helped.
One live account per mailbox (a unique key), one per external reference and client. A User ID is issued once, never
changed and never used again; a merged account names its successor for ever. Kind is a column: becoming a business
changes it and nothing else. Marketing is `never` until the customer says otherwise.
"""
