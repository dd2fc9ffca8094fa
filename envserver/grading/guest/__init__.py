"""Programs that run inside a grader's sandboxes. The server imports `codec` alone, and reads the others as text."""
