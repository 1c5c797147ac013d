"""PyTorch's own tables of operators and modules, run through the backend and held against eager."""
