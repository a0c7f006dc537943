"""The app: one case in the browser, from scans to mask, volumes, a probability and its doubts."""
