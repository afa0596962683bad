"""Short calls: warm worker processes per toolset, forked from a template that has their libraries imported."""
