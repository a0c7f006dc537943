"""Small networks that published recipes need and MONAI does not carry; each takes `(in_channels, out_channels, ...)` and returns logits."""
