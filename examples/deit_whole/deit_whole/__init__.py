"""A whole vision transformer on an encrypted image."""
