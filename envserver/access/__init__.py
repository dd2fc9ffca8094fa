"""Who may do what, how much of it, and the record of it: keys, tenants' quotas, the audit log. Knows no transport."""
