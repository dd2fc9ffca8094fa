"""`mail.test`: everybody's mailbox."""
