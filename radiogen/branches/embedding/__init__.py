"""The embedding branch: networks that turn a case's volumes into a vector. torch and torchvision are imported by the modules that need them."""
