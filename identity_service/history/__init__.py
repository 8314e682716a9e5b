"""History: what happened to a customer anywhere, in the words of the services where it happened.

entry     an order, refund, ticket, note …: one per source and reference, so a repeat is answered and not doubled
summary   customer since, orders, amounts per currency, last order, open tickets: what a desk sees at a glance

An entry keeps the User ID it was addressed to for ever; it is read through the chain of merges. Nothing that happens
to an account, becoming a business, merging or changing its address, loses an entry.
"""
