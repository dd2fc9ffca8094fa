"""The web that an episode's browser sees: sites under any host name, answered by the server."""
