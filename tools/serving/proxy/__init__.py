"""One address for each endpoint: what stands in front of the services, and keeps them running."""
