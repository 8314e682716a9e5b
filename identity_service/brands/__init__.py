"""Brands: the face that an operator gives pages and emails: name, logo, colours, links, sender, languages, words.

A brand is a folder below `IDENTITY_BRANDS_DIR`: `brand.toml`, `logo.svg` or `logo.png`, and `words/<language>.toml`
with sentences of its own for emails. Without that setting there is one brand, `default`, with the names of the
settings. `rules` says what a brand may be, `files` reads them, `logos` makes images harmless, `words` checks sentences.
"""
