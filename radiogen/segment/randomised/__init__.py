"""Made-up patients for training: anatomy, glioma, contrast and scanner drawn at random, fast enough to be drawn anew at every step."""
