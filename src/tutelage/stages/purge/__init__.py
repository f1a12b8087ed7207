"""`purge`: what belongs to a person, or is older than its class allows, leaves every file of the folder.

First all that is theirs is gathered: rows under their key in the folder's tables, in the sources and among
what servers kept. Then rows with it are erased from tables, sheets and databases, and files that were made of
them are removed, so that their stages make them anew. At the end every file is read once more.
"""

from tutelage.stages.purge._purge import Purged, purge_expired, purge_subjects

__all__ = ["Purged", "purge_expired", "purge_subjects"]
