"""`desk.test`: where the shop's support works."""
