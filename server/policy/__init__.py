"""What whoever runs a server allows, denies, or lets a person confirm."""
