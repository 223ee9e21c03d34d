"""What is to be expected: jobs that run now, as long as such jobs last, and jobs to come, as they have come before."""
