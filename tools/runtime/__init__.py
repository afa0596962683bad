"""Where library code runs: short calls in warm workers, long work in durable job processes.

A slice sees two doors only: `ToolContext.call` and `ToolContext.submit`.
"""
