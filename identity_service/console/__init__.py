"""The console: what a desk needs while a caller waits. It uses nothing that a tool could not use over REST, except two
things that only a person here may do: approve what somebody else asked for, and search what staff did.

staff   a person with a role (clerk, lead, auditor), a password and a one-time code; no mail is needed to get in
"""
