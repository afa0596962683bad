"""Who may ask a server that listens on a port, and for what."""
