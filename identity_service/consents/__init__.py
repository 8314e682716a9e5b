"""Consents: what a customer has allowed, in a ledger that is only ever added to, and the receipt that proves it.

purpose      marketing by e-mail, phone or post; further ones by setting
decision     proposed, granted or withdrawn, with the wording, who, through which door, and when
permission   the answer to "may I market to these accounts?"; silence and withdrawn mean no
receipt      a signed statement of all this, which anybody can check with our published keys

Only the mailbox's holder can say yes: signed in, or by the link in the letter that a service's or clerk's proposal
sends. Withdrawing counts at once, through any door. The state of an account is derived from the last words in the
ledger; where accounts were merged, the stricter word wins.
"""
