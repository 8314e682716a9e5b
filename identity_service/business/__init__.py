"""Convert a consumer to a business and back under the same User ID; all history stays."""
