"""What every executor that runs processes on a machine needs: folders, environments, limits, ends and journals."""
