"""The schema's history, in Alembic's form; `shared.db.migrate` runs it from a checkout or an installed distribution alike.

Touches the database as the role that owns the schema. A revision never imports `shared.tables`: tables move on, revisions do not.
"""
