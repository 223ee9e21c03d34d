"""The same decisions in virtual time: recorded workloads turned into costs, policy by policy."""
