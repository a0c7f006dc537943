"""Images to tumour regions."""
