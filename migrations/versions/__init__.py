"""One module per revision, named NNNN_what.py in their order. Each touches nothing but the connection Alembic hands it."""
