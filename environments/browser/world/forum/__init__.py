"""`forum.test`: boards, threads, and who keeps order there."""
