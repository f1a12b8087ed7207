"""Encryption of a programme's folder at rest."""

from __future__ import annotations

from pydantic import Field

from tutelage.config.section import Section


class EncryptionConfig(Section):
    """What holds texts or what people said is encrypted on disk; needs the extra `encryption`.

    A new folder is from its first command on, one that has files already by `tutelage encryption on`.
    """

    key_env: str = Field(
        "TUTELAGE_KEY",
        min_length=1,
        description="The environment variable with the key, as `tutelage encryption new-key` prints one. "
        "Without it nothing can be read: keep it where the folder's backups are not.",
    )
    state_elsewhere: bool = Field(
        False,
        description="A server's state in PostgreSQL, or in a file outside of the folder, is not encrypted by "
        "Tutelage, and refused unless this says that whoever runs it sees to that.",
    )
