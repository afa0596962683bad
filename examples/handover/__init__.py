"""Eight agents hand over to each other, without network: a recorded model answers through a local Messages API."""
