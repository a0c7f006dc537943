"""Raw scans to one grid: brain, intensity, quality."""
