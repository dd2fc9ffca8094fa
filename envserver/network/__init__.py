"""The little of the outside world that an episode may reach, and only through here."""
