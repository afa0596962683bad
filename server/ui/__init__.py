"""`mlops-mcp ui`: what the state folder holds, as pages to look at."""
