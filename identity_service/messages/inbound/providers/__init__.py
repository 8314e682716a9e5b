"""One file for each email provider whose webhooks are read, named like the last segment of the webhook's path.

Each defines `PROVIDER`: how a webhook proves its origin, where an event names our message, and what each event means.
Truth goes before the provider's own classes: a delivery that a provider gave up is bounced, even if it calls the bounce
soft, and only a mailbox that does not exist suppresses an address. Another provider is another file here; `registry`
finds it.
"""
