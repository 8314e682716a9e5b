"""Carriers of text messages: how each takes a text, what its answers mean, and how it proves its reports. Pure.

One class for each interface, by the carrier's public documentation. `delivery/text.py` speaks HTTP, `inbound/texts.py`
applies what is reported.
"""
