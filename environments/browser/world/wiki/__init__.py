"""`wiki.test`: an encyclopaedia that members edit."""
