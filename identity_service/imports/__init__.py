"""Import accounts from files of another system, row by row and resumable.

files.py     opens a file: its encoding, separator and heading; CSV and JSON rows by the file's own names
json_rows.py JSON objects that can be read in one way only
formats.py   the exports of known products: which of their columns are which of our fields
fields.py    one value of a row: nothing, text, a moment, yes or no
rows.py      a row: refused, or the columns of an account and what was left out
matching.py  who a row is about: nobody yet, or an account that it adds something to
"""
