"""History: what happened to a customer in other services, as those services report it.

entry     an order, refund, ticket, note …: one per source and reference, so that a repeat adds nothing. It is never
          rewritten: a correction is a new entry that supersedes it, a removal marks it
summary   customer since, orders, amounts per currency, last order, open tickets

An entry keeps the User ID under which it was reported; reads follow merges. No conversion, merge or change of address
loses an entry.
"""
