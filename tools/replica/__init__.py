"""The state folders of several servers that share no disk: each is a copy of what PostgreSQL and a file store hold."""
