"""Function transforms: each an interpreter over the slots of primitives."""
