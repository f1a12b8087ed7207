"""A served programme, and browsers without scripts that are logged in to its pages."""

from __future__ import annotations

from served_world import Live
from voting_world import Browser

HOSTILE = "<script>document.title='owned'</script> & \"quoted\""
ROLES = ("", "client", "viewer", "reviewer", "admin")


def visitor(served: Live, role: str) -> Browser:
    """A browser with a session of this role, or of nobody for ""."""
    browser = Browser(int(served.url.rsplit(":", 1)[1]))
    browser.get("/login")
    if role:
        browser.send("/login", key=served.keys[role])
    return browser
