"""What a case is: table schema, layouts, NIfTI, label schemes, splits, phantoms with known truth."""
