"""Who may do what, and who did: projects, hooks that admit jobs, the audit log."""
