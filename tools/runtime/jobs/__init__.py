"""Long work: one durable process per job, a table of all jobs, and the server's side of both."""
