"""Models that others have logged or saved: where they lie, what they say of themselves, and how they become ours."""
