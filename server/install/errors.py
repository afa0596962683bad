"""Why a client's file was left as it is."""


class InstallError(Exception):
    """Nothing was written; the text says what to do."""
