"""Programs written for Modal, read without running them: each function becomes a job, and what is lost is said."""
