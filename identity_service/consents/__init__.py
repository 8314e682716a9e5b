"""Consents: what a customer has allowed, in an append-only ledger, and the receipt that proves it.

purpose      marketing by email, phone or post; a setting adds others
decision     proposed, granted or withdrawn, with wording, actor, channel and time
permission   the answer to "may I market to these accounts?"; silence and withdrawn mean no
receipt      a signed statement of all this, which anybody can check with our published keys

Only the mailbox's holder can grant: signed in, or by the link in the email that a service's or clerk's proposal sends.
A withdrawal counts at once, through any channel. The state of an account is derived from its newest decisions in the
ledger; for merged accounts, the stricter decision counts.
"""
