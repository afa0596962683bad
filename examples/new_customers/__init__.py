"""A bank that lent to owners opens to tenants: its model is watched, found wanting, and replaced."""
