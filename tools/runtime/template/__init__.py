"""The warm template: one process that has the libraries imported, from which call workers and jobs are forked."""
