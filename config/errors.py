"""What is wrong with the configuration, said to whoever wrote it."""


class SettingsError(ValueError):
    """A key, value or file of the configuration that cannot be used; the text says what to change."""
